"""`wafleet run --simulated`: a node against a simulator of its own, for playing."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from supervisor import program
from supervisor.processes import SimulatorPlace, start_simulator

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rich.console import Console

    from config.settings import Settings
    from supervisor.compose import Running

PHONE: Final = "15550100001"
CONTACT: Final = "15550100002"


@contextmanager
def simulator_beside(data_dir: Path) -> Iterator[SimulatorPlace]:
    """Run a simulator while the block runs; it remembers its phones between runs."""
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with start_simulator(
        data_dir / "simulator.log",
        f"--state={data_dir / 'simulator.json'}",
        f"--account={PHONE}:Shop",
        f"--contact={CONTACT}:Alice:echo",
    ) as simulator:
        yield SimulatorPlace.of(simulator.ready)


def run_simulated(settings: Settings, place: SimulatorPlace, console: Console) -> int:
    """Run the node and say how to play with it; return its exit code."""

    def announce(running: Running) -> None:
        console.print(f"wafleet is up: [bold]{running.url}[/bold]")
        console.print(f"simulator:     page {place.page}, control {place.control_url}\n")
        console.print("Try, in another terminal:")
        tour = _tour(running.url, place.control_url, running)
        console.print(tour, highlight=False, markup=False, soft_wrap=True)
        console.print("\nStop both with Ctrl-C.")

    return program.run(settings, announce, lambda: console.print("Stopping …"))


def _tour(url: str, control: str, running: Running) -> str:
    key = f"$(cat {running.key_file})" if running.key_file else "$WAFLEET_API_KEY"
    messages = f"{url}/v1/sessions/shop/messages"
    post = 'curl -s -H "$AUTH" -H "Content-Type: application/json"'
    return "\n".join(
        [
            f'  AUTH="Authorization: Bearer {key}"',
            f'  {post} {url}/v1/sessions -d \'{{"name": "shop", "start": true}}\'',
            f'  QR=$(curl -s -H "$AUTH" {url}/v1/sessions/shop/qr.txt)',
            f'  curl -s {control}/phones/{PHONE}/scan -d "{{\\"qr\\": \\"$QR\\"}}"',
            f'  curl -s -H "$AUTH" {url}/v1/sessions/shop',
            f'  {post} {messages} -d \'{{"to": "+{CONTACT}", "text": "hello"}}\'',
            f'  curl -s -H "$AUTH" {messages}',
        ]
    )
