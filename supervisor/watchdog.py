"""A thread that notices an actor whose handler does not come back.

A handler must never block: while one does, its actor hears nothing, not even that it is to stop.
The watchdog can't free it (a thread can't be killed); it raises the alarm, says where it stands,
and for the root supervisor also makes /healthz fail, so that whoever runs us starts us again.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from actors.base import BaseActor, busy_actors

if TYPE_CHECKING:
    from collections.abc import Iterable

    from actors.base import Busy
    from actors.telemetry import Telemetry

log = structlog.get_logger(__name__)

FRAMES: Final = 6
"""How many of the innermost frames an alarm names."""


@dataclass(frozen=True, slots=True)
class Alarms:
    """The handlings (by number) that an alarm was raised for and that have not ended yet."""

    raised: frozenset[int] = frozenset()


def judge(
    alarms: Alarms, busy: Iterable[Busy], now: float, patience: float
) -> tuple[Alarms, list[Busy]]:
    """Return the alarms that stand now, and the handlings to raise one for: each once. Pure."""
    stuck = [each for each in busy if now - each.since >= patience]
    new = [each for each in stuck if each.handling not in alarms.raised]
    return Alarms(frozenset(each.handling for each in stuck)), new


class Watchdog:
    """Looks every `interval` seconds for handlers that run longer than `patience` seconds."""

    def __init__(self, telemetry: Telemetry, patience: float, interval: float = 1.0) -> None:
        self._telemetry = telemetry
        self._patience = patience
        self._interval = interval
        self._ended = threading.Event()
        self._alarms = Alarms()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more; returns once the thread has ended."""
        self._ended.set()
        self._thread.join()

    def is_stuck(self, kind: type[BaseActor]) -> bool:
        """Tell whether an actor of that class has been busy with one message for too long."""
        now = time.monotonic()
        return any(
            each.actor == kind.__name__ and now - each.since >= self._patience
            for each in busy_actors()
        )

    def _watch(self) -> None:
        while not self._ended.wait(self._interval):
            now = time.monotonic()
            self._alarms, new = judge(self._alarms, busy_actors(), now, self._patience)
            self._telemetry.actors_stuck.set(len(self._alarms.raised))
            for each in new:
                self._telemetry.actor_alarms.labels(actor=each.actor).inc()
                log.error(
                    "actor_stuck",
                    actor=each.actor,
                    message_type=each.message_type,
                    seconds=round(now - each.since, 3),
                    where=_where(each.thread),
                )


def _where(thread: int) -> list[str]:
    """Name the innermost frames of a thread: places in code, nothing that it works on."""
    frame = sys._current_frames().get(thread)  # noqa: SLF001 - documented, in spite of its name
    if frame is None:
        return []
    summary = traceback.extract_stack(frame)[-FRAMES:]
    return [f"{each.filename.rpartition('/')[2]}:{each.lineno} {each.name}" for each in summary]
