"""What the tests of janitor and memory actor share: more sessions, events, padding, garbage."""

from __future__ import annotations

import asyncio
import hashlib
import os
from functools import partial
from typing import TYPE_CHECKING, Any

from actors.browser.whatsapp import WhatsAppBrowser
from actors.messages import Done, StartSession
from simulator.requests import NewAccount
from tests.fitting import fitting
from tests.integration.archive_world import ASK
from tests.waiting import eventually_async

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from actors.live import LiveSession
    from tests.integration.archive_world import World

MB = 1_000_000
OTHER = "15550100009"

_GARBAGE = """(() => {
  const hold = [];
  for (let i = 0; i < %d; i++) {
    const some = new Array(131072);
    for (let j = 0; j < some.length; j++) some[j] = {j};
    hold.push(some);
  }
  const until = Date.now() + %d;
  while (Date.now() < until);
  return hold.length;
})()"""


def garbage(pieces: int, hang_ms: int = 0) -> str:
    """JavaScript that makes objects, some 2.6 MB each piece, and lets go of all of them.

    No browser hurries to give them back. Before it returns, the page hangs for so long.
    """
    return _GARBAGE % (pieces, hang_ms)


async def neighbour(here: World, number: str = OTHER) -> str:
    """Link a second session, of a number of its own; return its id."""
    here.simulator.desk.add_account(NewAccount(number=number, name="Neighbour"))
    row, _ = await here.store.create_session(here.workspace, f"of-{number}", 1)
    ask = partial(StartSession, session_id=row.id)
    assert await here.fleet.ask(lambda r: ask(reply=r), ASK) == Done()
    qr = (await shows(here, row.id, "qr_shown")).qr
    assert qr is not None
    here.simulator.desk.scan(number, qr.text)
    await shows(here, row.id, "ready")
    return row.id


async def shows(here: World, session_id: str, *reasons: str, after: int = 0) -> LiveSession:
    """Wait until a session shows one of these reasons, in a life after that incarnation."""

    async def look() -> LiveSession | None:
        live = here.board.get(session_id)
        fits = live is not None and live.reason in reasons and live.incarnation > after
        return live if fits else None

    found = await eventually_async(look)
    assert found is not None
    return found


async def told(here: World, kind: str, session_id: str | None = None) -> list[Mapping[str, Any]]:
    """Return the payloads of all events of this kind, of one session or of all."""
    rows = fitting(await here.store.events(here.workspace, types=[kind], limit=1000))
    return [row.payload for row in rows if session_id is None or row.session_id == session_id]


async def telling(
    here: World, kind: str, action: str, session_id: str | None = None, count: int = 1
) -> list[Mapping[str, Any]]:
    """Wait until there are so many events of this action; return them."""

    async def look() -> list[Mapping[str, Any]]:
        found = [each for each in await told(here, kind, session_id) if each["action"] == action]
        return found if len(found) >= count else []

    return await eventually_async(look)


async def evaluate(here: World, pid: int | None, expression: str) -> Any:
    """Run JavaScript in the page of the browser with this pid."""
    browser = next(each for each in here.driver.browsers if each.pid == pid)
    assert isinstance(browser, WhatsAppBrowser)
    work = partial(browser._ready_page().evaluate, expression, 30)
    return await asyncio.to_thread(here.bridge.run, work, 35)


def pad(profile: Path, path: str, size: int) -> Path:
    """Let a file of a profile take so many bytes of the disk, at once."""
    file = profile / path
    file.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(file, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.posix_fallocate(fd, 0, size)
    finally:
        os.close(fd)
    return file


def fingerprint(folder: Path) -> dict[str, str]:
    """Every file below a folder with a hash of its content."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.rglob("*")
        if file.is_file()
    }


def value(here: World, metric: str, **labels: str) -> float | None:
    return here.telemetry.registry.get_sample_value(metric, labels)
