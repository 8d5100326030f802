"""A planned restart: the login is archived first, if it can be and does not take too long.

It is the moment at which a profile is most likely to be needed from its archive: what is closed may
not come up again. A session that is not connected, or an archive that fails, only means that the
restart begins at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import structlog

from actors.messages import Refused

if TYPE_CHECKING:
    from actors.archivist import Archivist
    from actors.messages import StopKind

log = structlog.get_logger(__name__)

PATIENCE: Final = 20.0
"""Seconds that a restart waits for its archive; well below what who asked for it waits."""


class RecyclingOwner(Protocol):
    """What a planned restart asks of its session actor."""

    def arm_recycle_deadline(self, seconds: float) -> None: ...

    def recycle(self, kind: StopKind, detail: str | None) -> None: ...


class Recycling:
    """Owned by one session actor and used only from its thread. A Reply of the archivist's."""

    def __init__(self, owner: RecyclingOwner, archivist: Archivist) -> None:
        self._owner = owner
        self._archivist = archivist
        self._waiting: tuple[StopKind, str | None] | None = None

    def begin(self, kind: StopKind, detail: str | None) -> None:
        """Archive, then recycle; exactly one recycle() follows, perhaps at once.

        Who asks for another kind meanwhile gets the restart that is under way.
        """
        if self._waiting is not None:
            return
        self._waiting = (kind, detail)
        self._owner.arm_recycle_deadline(PATIENCE)
        self._archivist.asked(self)

    def put(self, value: object) -> None:
        """The archivist: the archive is kept, or why there is none."""
        if isinstance(value, Refused):
            log.info("recycled_without_archive", code=value.code)
        self._go_on()

    def timed_out(self) -> None:
        """The answer to arm_recycle_deadline."""
        if self._waiting is not None:
            log.warning("recycle_archive_late", seconds=PATIENCE)
        self._go_on()

    def _go_on(self) -> None:
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            self._owner.recycle(*waiting)
