"""``python -m simulator``."""

from __future__ import annotations

import typer

from simulator.cli import simulate

if __name__ == "__main__":
    typer.run(simulate)
