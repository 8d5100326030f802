"""Sessions in real Chromium under a real supervisor: archived, and brought back."""

from __future__ import annotations

import shutil
from functools import partial
from typing import TYPE_CHECKING

import pytest

from actors.bridge import FutureReply
from actors.browser.logins import may_hold_login
from actors.messages import Archived, ArchiveSession, OutboxChanged, Refused, StopKind
from simulator.requests import PhoneLogout
from storage.messages import MessageState, NewOutbound
from tests.integration.archive_world import ALICE, ASK, ME, world
from tests.waiting import eventually_async

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration


async def test_a_lost_profile_comes_back_without_a_qr_code(tmp_path: Path) -> None:
    """Archived on demand, the directory lost: connected again, and never asked for a scan."""
    async with world(tmp_path) as here:
        await here.link()
        answer = await here.archive()
        assert isinstance(answer, Archived)
        assert answer.generation == 1
        assert 0 < answer.pause_seconds < answer.seconds < 30
        assert answer.bytes == here.file(1).stat().st_size
        assert here.metric('wafleet_archives_total{result="saved"} 1.0')
        assert here.metric("wafleet_archive_pause_seconds_count 1.0")
        await here.end(StopKind.STOP)
        shutil.rmtree(here.profile)
        here.seen.clear()
        await here.start()
        live = await here.live("ready")
        assert live.phone_number == ME
        assert "qr_scanning" not in here.seen
        assert here.metric('wafleet_archives_total{result="restored"} 1.0')
        assert not (here.profile.parent / "copy").exists()


async def test_a_gutted_profile_and_a_damaged_archive_use_the_one_before(tmp_path: Path) -> None:
    """The newest is refused, counted, and the previous generation logs in."""
    async with world(tmp_path) as here:
        await here.link()
        await here.archive()
        await here.archive()
        await here.end(StopKind.STOP)
        shutil.rmtree(here.profile / "Default")
        raw = bytearray(here.file(2).read_bytes())
        raw[len(raw) // 2] ^= 1
        here.file(2).write_bytes(raw)
        here.seen.clear()
        await here.start()
        await here.live("ready")
        assert "qr_scanning" not in here.seen
        assert here.metric('wafleet_archives_total{result="refused"} 1.0')
        assert here.metric('wafleet_archives_total{result="restored"} 1.0')


async def test_the_page_lives_on_after_the_freeze(tmp_path: Path) -> None:
    """A message that is accepted while the browser stands still goes through after it."""
    async with world(tmp_path) as here:
        pid = (await here.link()).browser_pid
        ask = partial(ArchiveSession, session_id=here.session)
        new = NewOutbound(
            session_id=here.session,
            chat=f"{ALICE}@c.us",
            wa_id="3EB0" + "A" * 18,
            body="x",
            now_ms=1,
        )
        here.fleet.tell(ask())
        row = await here.store.accept_message(here.workspace, new)
        here.fleet.tell(OutboxChanged(session_id=here.session))
        await here.has_generations(1)

        async def sent() -> bool:
            found = await here.store.message(here.workspace, here.session, row.id)
            return found.state in {MessageState.SENT, MessageState.DELIVERED, MessageState.READ}

        await eventually_async(sent)
        live = await here.live("ready")
        assert (live.browser_pid, live.incarnation) == (pid, 1)


async def test_a_connected_session_is_archived_by_itself(tmp_path: Path) -> None:
    """After the delay, then again after the interval; only the newest are kept."""
    async with world(
        tmp_path, archive_delay=0.0, archive_interval=1.0, archive_generations=2
    ) as here:
        await here.link()
        await here.has_generations(3, 2)


async def test_two_requests_at_once_are_one_archive(tmp_path: Path) -> None:
    """Both are answered with it."""
    async with world(tmp_path) as here:
        await here.link()
        ask = partial(ArchiveSession, session_id=here.session)
        replies = [FutureReply(), FutureReply()]
        for reply in replies:
            here.fleet.tell(ask(reply=reply))
        first, second = [await reply.wait(ASK) for reply in replies]
        assert first is second
        assert await here.generations() == [1]


async def test_what_is_not_connected_is_not_archived(tmp_path: Path) -> None:
    """Refused with what to do, before the start, at the QR code, and after the stop."""
    async with world(tmp_path) as here:

        async def refused() -> bool:
            answer = await here.archive()
            return isinstance(answer, Refused) and answer.code == "not_connected"

        assert await refused()
        await here.start()
        await here.live("qr_shown")
        assert await refused()
        await here.end(StopKind.STOP)
        assert await refused()
        assert await here.generations() == []


async def test_a_failing_archive_costs_the_session_nothing(tmp_path: Path) -> None:
    """Told, counted, and the session is connected in the same browser as before."""
    async with world(tmp_path) as here:
        pid = (await here.link()).browser_pid
        here.data.archives.write_text("a file where the directory belongs")
        answer = await here.archive()
        assert isinstance(answer, Refused)
        assert here.metric('wafleet_archives_total{result="failed"} 1.0')
        here.data.archives.unlink()
        assert isinstance(await here.archive(), Archived)
        live = await here.live("ready")
        assert (live.browser_pid, live.incarnation) == (pid, 1)


async def test_a_profile_that_cannot_be_restored_never_ends_in_a_qr_code(tmp_path: Path) -> None:
    """It is tried again until the disk has room; then it is connected."""
    async with world(tmp_path, restart_backoff_first=0.2, restart_backoff_max=0.2) as here:
        await here.link()
        await here.archive()
        await here.end(StopKind.STOP)
        shutil.rmtree(here.profile)
        here.seen.clear()
        here.archives.full = True
        await here.start()
        await here.becomes("launch_failed")
        assert not here.profile.exists()
        here.archives.full = False
        await here.live("ready")
        assert "qr_scanning" not in here.seen


@pytest.mark.parametrize("kind", [StopKind.LOGOUT, StopKind.DELETE])
async def test_ending_a_login_removes_its_archives(tmp_path: Path, kind: StopKind) -> None:
    """Running or stopped: neither pointer nor file nor profile is left."""
    async with world(tmp_path) as here:
        await here.link()
        await here.archive()
        await here.end(kind)
        assert await here.generations() == []
        assert not here.file(1).parent.exists()
        assert not here.profile.exists()


async def test_a_logout_of_a_stopped_session_removes_its_archives(tmp_path: Path) -> None:
    """The login that was kept must not come back by a start."""
    async with world(tmp_path) as here:
        await here.link()
        await here.archive()
        await here.end(StopKind.STOP)
        assert await here.generations() == [1]
        await here.end(StopKind.LOGOUT)
        assert await here.generations() == []
        await here.start()
        await here.live("qr_shown")


async def test_a_logout_by_the_phone_removes_the_archives(tmp_path: Path) -> None:
    """WhatsApp has ended that login: restoring it could only fail."""
    async with world(tmp_path) as here:
        await here.link()
        await here.archive()
        here.simulator.desk.log_out(ME, PhoneLogout())
        await here.becomes("logged_out")
        await here.has_generations()
        assert may_hold_login(here.profile)
