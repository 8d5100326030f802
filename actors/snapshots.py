"""A profile that does not come up any more makes way for the last good archive of it.

It is put aside, never removed, until the session is connected again: what is wrong with it may be
something else. It comes back if there is nothing to take its place.
"""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING

import structlog

from actors.browser.logins import aside_place
from storage.vault.files import sync_directory

if TYPE_CHECKING:
    from pathlib import Path

    from storage.archives import Archives, Restored

log = structlog.get_logger(__name__)


async def restore_snapshot(archives: Archives, session_id: str, profile: Path) -> Restored | None:
    """Put the profile aside and its newest good archive in its place; None if that can't be.

    Then, and when it fails, the profile is as it was. For the main loop, while no browser runs.
    Raises ArchiveFailed, StoreError, OSError.
    """
    aside = aside_place(profile)
    if aside.exists():
        log.warning("snapshot_not_restored", code="restored_before")
        return None
    if not await archives.list(session_id):
        return None
    await asyncio.to_thread(_move, profile, aside)
    try:
        return await archives.restore(session_id, profile)
    finally:  # it is there already unless the archive has taken its place
        await asyncio.to_thread(bring_back, profile)


def bring_back(profile: Path) -> None:
    """Let a profile that was put aside be the profile again, if nothing has taken its place.

    Blocks for a moment. Raises OSError.
    """
    aside = aside_place(profile)
    if aside.exists() and not profile.exists():
        _move(aside, profile)


def sweep_aside(profile: Path) -> None:
    """Remove what was put aside: its successor is connected. Blocks for a while."""
    shutil.rmtree(aside_place(profile), ignore_errors=True)


def _move(place: Path, to: Path) -> None:
    place.rename(to)
    sync_directory(to.parent)
