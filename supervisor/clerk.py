"""The supervisor's paperwork: what it writes about a session that has no actor (any more).

Coroutines for the main loop, each one call of the bridge. The supervisor writes with LAST_WORD as
the sequence: it speaks after everything that the incarnation's actor has written.
"""

from __future__ import annotations

import asyncio
import shutil
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from actors.messages import Refused, StopKind
from actors.state import STOP_REASONS
from storage.store import SessionNotFound, SessionStatus, StatusChange

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from storage.archives import Archives
    from storage.store import Store

log = structlog.get_logger(__name__)

LAST_WORD: Final = 2**31
UNTOLD: Final = "WhatsApp could not be told: remove the device on the phone"


def _alone(_session_id: str) -> AbstractAsyncContextManager[None]:
    return nullcontext()


@dataclass(frozen=True, slots=True, kw_only=True)
class Clerk:
    """`directory` gives the directory of a session: its profile, its scratch space, its lock.

    `holding` keeps everybody else of this process out of it (ProfileCare).
    """

    store: Store
    archives: Archives
    directory: Callable[[str], Path]
    now_ms: Callable[[], int]
    holding: Callable[[str], AbstractAsyncContextManager[None]] = _alone

    async def count(self, session_id: str) -> int:
        """Count a new incarnation, which begins with nothing in flight. Raises SessionNotFound."""
        incarnation = await self.store.next_incarnation(session_id)
        doubted = await self.store.doubt_sending(session_id, self.now_ms())
        if doubted:
            log.warning("unwritten_sends_doubted", session_id=session_id, count=doubted)
        return incarnation

    async def write(
        self,
        session_id: str,
        incarnation: int,
        status: SessionStatus,
        reason: str,
        detail: str | None = None,
    ) -> None:
        """Write the last status of an incarnation; nothing if the session was deleted."""
        change = StatusChange(
            session_id=session_id,
            incarnation=incarnation,
            sequence=LAST_WORD,
            status=status,
            reason=reason,
            detail=detail,
            since_ms=self.now_ms(),
        )
        try:
            await self.store.record_status(change)
        except SessionNotFound:
            return

    async def turned_away(self, session_id: str) -> None:
        """Write that there was no place for a session; nothing if it was deleted."""
        try:
            incarnation = await self.store.next_incarnation(session_id)
        except SessionNotFound:
            return
        status = SessionStatus.DISCONNECTED
        await self.write(session_id, incarnation, status, "capacity_reached")

    async def close(self, session_id: str, kind: StopKind, *, spoke: bool) -> None:
        """Finish what ending a session means once its browser is gone.

        STOP writes the status, unless its actor already `spoke`; LOGOUT also removes the profile
        and its archives, DELETE these and the row. Repeating it changes nothing.
        """
        if kind in {StopKind.LOGOUT, StopKind.DELETE}:
            # first: it waits for an archive that is still being written, from within the directory
            await self.archives.forget(session_id)
            async with self.holding(session_id):
                await asyncio.to_thread(remove_tree, self.directory(session_id))
        if kind is StopKind.DELETE:
            await self._delete(session_id)
        elif not spoke:
            await self._write_absent(session_id, kind)

    async def _delete(self, session_id: str) -> None:
        try:
            await self.store.delete_session(session_id, self.now_ms())
        except SessionNotFound:
            return

    async def _write_absent(self, session_id: str, kind: StopKind) -> None:
        try:
            row = await self.store.any_session(session_id)
            incarnation = await self.store.next_incarnation(session_id)
        except SessionNotFound:
            return
        untold = kind is StopKind.LOGOUT and row.phone_number is not None
        if row.reason == STOP_REASONS[kind]:
            return  # it already stands there, perhaps with a better detail
        await self.write(
            session_id,
            incarnation,
            SessionStatus.DISCONNECTED,
            STOP_REASONS[kind],
            UNTOLD if untold else None,
        )


def remove_tree(directory: Path) -> None:
    """Remove a directory and all below it; one that is not there is fine. Raises OSError."""
    try:
        shutil.rmtree(directory)
    except FileNotFoundError:
        return


def not_cleaned(error: Exception) -> Refused:
    """Answer for a close() that failed: the session is stopped, its directory is still there."""
    code = getattr(error, "code", "profile_not_removed")
    return Refused(
        code=code,
        message="Its browser is stopped, but its directory could not be removed; see the log.",
    )
