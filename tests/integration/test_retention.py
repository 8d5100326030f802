"""Retention on a real store and real files: what goes, what stays, and who is not held up."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from actors.telemetry import Telemetry
from storage.audit import NewAccess
from storage.privacy import NewMedia
from storage.sqlite import open_store
from storage.tenants import Retention
from supervisor.keeper import BATCH, Keeper, Removed, keeping
from tests.integration.browser_support import until
from tests.integration.media_support import media_files, received
from tests.integration.tenant_support import NOW, PERSON, home_of, inbound, outbound
from tests.integration.tiny_disk import tiny_disk
from tests.other_writer import other_writer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence
    from pathlib import Path

    from storage.media_files import MediaFiles
    from storage.sqlite.store import SqliteStore

pytestmark = pytest.mark.integration

DAY = 86_400_000


@dataclass
class World:
    store: SqliteStore
    media: MediaFiles
    home: str
    session: str
    telemetry: Telemetry
    now_ms: int = NOW

    def keeper(self, now_ms: Callable[[], int] | None = None) -> Keeper:
        return Keeper(
            privacy=self.store,
            media=self.media,
            telemetry=self.telemetry,
            interval=0.01,
            now_ms=now_ms or (lambda: self.now_ms),
            uniform=lambda low, _high: low,
        )

    async def keep(self, **times: int) -> None:
        await self.store.set_retention(self.home, Retention(**times), NOW)

    async def receive(self, count: int) -> None:
        for number in range(count):
            await self.store.record_inbound(inbound(self.session, f"R{number}"))

    async def messages(self) -> int:
        rows = await self.store._connections.read("SELECT count(*) FROM messages")
        return int(rows[0][0])

    def counted(self, kind: str) -> float:
        name = "wafleet_retention_removed_total"
        value = self.telemetry.registry.get_sample_value(name, {"kind": kind})
        assert value is not None
        return value


@asynccontextmanager
async def world(data: Path) -> AsyncIterator[World]:
    async with open_store(data / "db", busy_timeout_ms=100) as store:
        home = await home_of(store)
        row, _ = await store.create_session(home, "one", NOW)
        yield World(store, media_files(data, store), home, row.id, Telemetry())


# ---- what goes, what stays ----


async def test_everything_is_kept_for_ever_unless_told(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await here.receive(3)
        here.now_ms += 100_000 * DAY
        with capture_logs() as logs:
            assert await here.keeper().round() == Removed()
        assert await here.messages() == 3
        assert logs == []
        assert [here.counted(kind) for kind in ("messages", "media", "events")] == [0, 0, 0]


async def test_what_is_too_old_goes_with_its_files(tmp_path: Path) -> None:
    """Counted and told; what must stay does: chats, contacts, counters, the access log."""
    async with world(tmp_path) as here:
        message = await received(here.store, here.home)
        pointer = await here.media.save(message, [b"photo"])
        await here.store.accept_message(here.home, outbound(here.session, "A1"))
        new = NewAccess(action="message.read", result="allowed", now_ms=NOW, who="test")
        for _ in range(3):
            await here.store.append_access(here.home, new)
        contact = await here.store.contact_with_jid(here.home, PERSON)
        counters = await here.store.contact_sessions(here.home, contact.id)
        log = await here.store.access_log(here.home)
        chats = await here.store._connections.read("SELECT * FROM chats ORDER BY id")
        events = await here.store.events(here.home)

        await here.keep(messages_ms=DAY, events_ms=DAY)
        here.now_ms += DAY
        assert await here.keeper().round() == Removed(), "not before its time"
        here.now_ms += 1
        with capture_logs() as logs:
            removed = await here.keeper().round()
        assert removed == Removed(messages=1, media=1, events=len(events) - 1)
        assert not (tmp_path / pointer.path).exists()
        assert [here.counted(k) for k in ("messages", "media", "events")] == [1, 1, len(events) - 1]
        [told] = logs
        assert (told["event"], told["messages_removed"], told["media_removed"]) == (
            "retention_ended",
            1,
            1,
        )

        rows = await here.store.messages(here.home, here.session)
        assert [row.wa_id for row in rows] == ["A1"], "it waits to be sent"
        assert await here.store.contacts(here.home) == [contact]
        assert await here.store.contact_sessions(here.home, contact.id) == counters
        assert await here.store._connections.read("SELECT * FROM chats ORDER BY id") == chats
        assert await here.store.access_log(here.home) == log
        assert await here.store.verify_access_log(here.home) is None
        assert await here.keeper().round() == Removed(), "there is nothing left to do"


async def test_media_may_go_before_their_message(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        pointer = await here.media.save(await received(here.store, here.home), [b"photo"])
        await here.keep(media_ms=DAY)
        here.now_ms = time.time_ns() // 1_000_000 + DAY + 1
        assert await here.keeper().round() == Removed(media=1)
        assert not (tmp_path / pointer.path).exists()
        assert await here.messages() == 1


async def test_no_place_in_the_log_is_given_twice(tmp_path: Path) -> None:
    """A reader whose events were all taken sees every later one, though the clock was put back."""
    async with world(tmp_path) as here:
        home, session = here.home, here.session
        await here.store.accept_message(home, outbound(session, "A1", now_ms=NOW + 10))
        message = (await here.store.messages(home, session))[0].id
        await here.store.record_failed(message, "x", "y", NOW + 5 * DAY)
        seen = {event.id for event in await here.store.events(home)}
        place = max(seen)
        await here.keep(messages_ms=1, events_ms=1)
        here.now_ms += 9 * DAY
        await here.keeper().round()
        assert await here.messages() == 0
        assert await here.store.events(home, after=place) == []
    async with open_store(tmp_path / "db") as store:  # a new life, with another clock
        for number in range(2):
            new = outbound(session, f"B{number}", now_ms=NOW + DAY)
            await store.accept_message(home, new)
        later = await store.events(home, after=place)
        assert [event.type for event in later] == ["message.accepted"] * 2
        assert not seen & {event.id for event in later}


async def test_a_path_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    """The pointer goes, the file stays, and the log says so. A missing file is fine."""
    data = tmp_path / "data"
    data.mkdir()
    (tmp_path / "outside").write_text("not ours")
    async with world(data) as here:
        message = await received(here.store, here.home)
        for path in ("../outside", "media/gone"):
            await here.store.record_media(
                NewMedia(message_id=message, path=path, sha256="0" * 64, bytes=1, now_ms=NOW)
            )
        await here.keep(media_ms=1)
        here.now_ms += DAY
        with capture_logs() as logs:
            assert await here.keeper().round() == Removed(media=2, files_left=1)
    assert [each["event"] for each in logs] == ["media_path_refused", "retention_ended"]
    assert (tmp_path / "outside").read_text() == "not ours"


# ---- bounded, beside others, again and again ----


def writers(statements: Sequence[str]) -> Iterator[str]:
    """Name who wrote in each transaction."""
    for number, statement in enumerate(statements):
        if statement.startswith("BEGIN"):
            first = statements[number + 1]
            yield "keeper" if first.startswith("DELETE FROM messages") else "other"


async def test_batches_are_bounded_and_others_get_their_turn(tmp_path: Path) -> None:
    """A write that is asked for in the middle of a round commits before the round's end."""
    async with world(tmp_path) as here:
        await here.receive(BATCH * 3)
        await here.keep(messages_ms=1)
        here.now_ms += DAY
        statements: list[str] = []
        writer = here.store._connections._writer
        await writer.set_trace_callback(statements.append)
        working = asyncio.create_task(here.keeper().round())
        await until(lambda: here.counted("messages"))
        await here.store.create_session(here.home, "other", NOW)
        assert await here.messages() > 0, "the round goes on"
        assert await working == Removed(messages=BATCH * 3)
        await writer.set_trace_callback(None)  # type: ignore[arg-type]
        turns = list(writers(statements))
        assert turns.count("keeper") == 4  # the last one finds that nothing is left
        assert 0 < turns.index("other") < len(turns) - 1
        assert any(f"LIMIT {BATCH}" in statement for statement in statements)


async def test_a_locked_database_is_tried_again(tmp_path: Path) -> None:
    """Told; nothing is lost, and no file is without its pointer."""
    async with world(tmp_path) as here:
        pointer = await here.media.save(await received(here.store, here.home), [b"photo"])
        await here.keep(messages_ms=1)
        here.now_ms += DAY
        with capture_logs() as logs:
            async with other_writer(tmp_path / "db"):
                assert await here.keeper().round() == Removed()
        assert [(one["event"], one["code"]) for one in logs] == [
            ("retention_failed", "storage_busy")
        ]
        assert (tmp_path / pointer.path).exists()
        assert await here.keeper().round() == Removed(messages=1, media=1)


def fill(ballast: Path) -> None:
    """Take all the space that is left."""
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))


async def test_a_full_disk_is_tried_again(tmp_path: Path) -> None:
    with tiny_disk(tmp_path / "data", "size=16m") as data:
        async with world(data) as here:
            await here.receive(200)
            await here.keep(messages_ms=1)
            here.now_ms += DAY
            await here.store._connections.empty_log()
            fill(data / "ballast")
            with capture_logs() as logs:
                assert await here.keeper().round() == Removed()
            assert [one.get("code") for one in logs] == ["storage_full"]
            (data / "ballast").unlink()
            assert await here.keeper().round() == Removed(messages=200)


async def test_a_keeper_goes_on_round_after_round(tmp_path: Path) -> None:
    """Also after something that no round should meet; and it ends at once with its block."""
    async with world(tmp_path) as here:
        await here.keep(messages_ms=1)
        clocks: list[Any] = [ZeroDivisionError("a clock that broke")]

        def now_ms() -> int:
            if clocks:
                raise clocks.pop()
            return NOW + DAY

        with capture_logs() as logs:
            async with keeping(here.keeper(now_ms)):
                for number in (1, 2, 3):
                    await here.store.record_inbound(inbound(here.session, f"R{number}"))
                    await until(lambda: len(logs) == number + 1)  # noqa: B023
        assert [one["event"] for one in logs] == ["retention_crashed"] + ["retention_ended"] * 3


async def test_a_round_is_broken_off_at_the_end(tmp_path: Path) -> None:
    """In the middle of a backlog; what was begun is whole, and the rest is there."""
    async with world(tmp_path) as here:
        await here.receive(BATCH * 4)
        await here.keep(messages_ms=1)
        here.now_ms += DAY
        async with keeping(here.keeper()):
            await until(lambda: here.counted("messages"))
        left = await here.messages()
        assert 0 < left < BATCH * 4
        assert left % BATCH == 0
        assert await here.keeper().round() == Removed(messages=left)
