"""Our own programs as child processes: simulator and node, as the demo and the tests run them.

Each runs in a process group of its own, so that Ctrl-C in a terminal reaches only the program in
front, which then stops them in order.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

READY_TIMEOUT: Final = 60.0
STOP_TIMEOUT: Final = 60.0


class ProgramFailed(Exception):  # noqa: N818 - reads as what happened
    """The program ended, or said nothing, before it was ready; the text has its last words."""


class Program:
    """A `python -m MODULE ARGS` that prints one JSON line on stdout when it is ready.

    It does not outlive this process, however this one ends (see supervisor.lifeline).
    `wrapper` is a program that starts it, with its own arguments.
    """

    def __init__(
        self,
        module: str,
        args: Sequence[str],
        log: Path,
        env: Mapping[str, str] | None = None,
        wrapper: Sequence[str] = (),
    ) -> None:
        self._log_path = log
        with log.open("ab") as stderr:
            self.process = subprocess.Popen(
                [*wrapper, sys.executable, "-m", "supervisor.lifeline", module, *args],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )
        try:
            self.ready: dict[str, Any] = json.loads(self._first_line())
        except BaseException:
            self.kill()
            raise

    @property
    def pid(self) -> int:
        return self.process.pid

    def _first_line(self) -> str:
        """Return the first line of stdout, within READY_TIMEOUT."""
        stdout = self.process.stdout
        if stdout is None:
            raise RuntimeError("stdout was asked for as a pipe")
        killer = threading.Timer(READY_TIMEOUT, self.process.kill)
        killer.start()
        try:
            line: bytes = stdout.readline()
        finally:
            killer.cancel()
            killer.join()
        if not line.strip():
            self.process.wait()
            raise ProgramFailed(
                f"exit code {self.process.returncode}: {self._last_words() or 'no words'}"
            )
        return line.decode()

    def _last_words(self) -> str:
        lines = self._log_path.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal, wait, return the exit code. Raises subprocess.TimeoutExpired."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(STOP_TIMEOUT)
        finally:
            self._close()

    def kill(self) -> None:
        """SIGKILL and wait; harmless when it has ended."""
        self.process.kill()
        self.process.wait()
        self._close()

    def _close(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            if error is None:
                self.stop()
            else:
                self.kill()
        self._close()


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorPlace:
    """Where a running simulator is; what its ready line says."""

    control_url: str
    origin: str
    page: str
    host_resolver_rules: str
    spki_hash: str

    @classmethod
    def of(cls, ready: Mapping[str, Any]) -> SimulatorPlace:
        return cls(
            control_url=ready["control_url"],
            origin=ready["origin"],
            page=ready["page_address"],
            host_resolver_rules=ready["host_resolver_rules"],
            spki_hash=ready["spki_hash"],
        )

    def settings(self) -> dict[str, str]:
        """Return the settings that lead a node's browsers to it."""
        return {"host_resolver_rules": self.host_resolver_rules, "trusted_spki": self.spki_hash}

    def environment(self) -> dict[str, str]:
        """Return the same as environment variables."""
        return {f"WAFLEET_{key.upper()}": value for key, value in self.settings().items()}


def start_simulator(log: Path, *args: str) -> Program:
    """Start the simulator; SimulatorPlace.of(program.ready) tells where it is."""
    return Program("simulator", ["--json", *args], log)


def start_node(log: Path, env: Mapping[str, str], wrapper: Sequence[str] = ()) -> Program:
    """Start `wafleet run`; ready has its url, pid and key_file."""
    return Program("supervisor", ["run", "--json"], log, env, wrapper)
