"""`python -m supervisor.lifeline MODULE ARGS`: run a module while whoever started it lives.

Its standard input is the lifeline: a pipe whose other end the parent holds and never writes to. At
its end the parent is gone, even by SIGKILL, and the module is told to stop as by SIGTERM. So no
simulator, node or browser outlives the demo, a test or a benchmark that was killed. (The kernel's
own signal at the death of a parent comes when the thread that started the child ends.)
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
from typing import Final

STDIN: Final = 0


def main() -> None:
    """Entry point."""
    threading.Thread(target=_watch, name="lifeline", daemon=True).start()
    module, *args = sys.argv[1:]
    sys.argv = [module, *args]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _watch() -> None:
    while os.read(STDIN, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
