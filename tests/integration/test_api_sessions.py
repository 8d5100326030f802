from __future__ import annotations

import asyncio
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from actors.messages import EndSession, FleetMessage, Refused, StopKind
from api.commands import SessionCommands
from storage.store import Desired, SessionNotFound, SessionStatus
from tests.integration.test_api_server import UNKNOWN_ID, Api, running_api
from tests.other_writer import other_writer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from storage.store import SessionRow

pytestmark = pytest.mark.integration

VERBS = ["start", "stop", "restart", "logout"]


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        yield running


async def test_a_new_session_is_made_and_not_started(api: Api) -> None:
    made = await api.post("/v1/sessions", {"name": "team-1"})
    assert made.status == 201
    session = made.json
    assert made.headers["Location"] == f"/v1/sessions/{session['id']}"
    assert set(session) == {
        "id",
        "name",
        "provider_type",
        "is_primary",
        "is_active",
        "phone_number",
        "status",
        "reason",
        "reason_text",
        "detail",
        "since",
        "evidence_at",
        "desired",
        "last_connected_at",
        "created_at",
        "updated_at",
        "qr_available",
        "statistics",
    }
    assert (session["name"], session["status"], session["reason"], session["desired"]) == (
        "team-1",
        "disconnected",
        "created",
        "stopped",
    )
    assert api.fleet.commands == []


async def test_making_it_again_gives_the_same_session(api: Api) -> None:
    first = await api.post("/v1/sessions", {"name": "a"})
    second = await api.post("/v1/sessions", {"name": "a", "start": False})
    assert (first.status, second.status) == (201, 200)
    assert second.json == first.json


async def test_fifty_at_once_make_one(api: Api) -> None:
    made = await asyncio.gather(*(api.post("/v1/sessions", {"name": "a"}) for _ in range(50)))
    assert sorted(m.status for m in made) == [200] * 49 + [201]
    assert len({m.json["id"] for m in made}) == 1


async def test_making_and_starting_in_one(api: Api) -> None:
    made = await api.post("/v1/sessions", {"name": "a", "start": True})
    assert (made.status, made.json["desired"]) == (201, "running")
    assert api.fleet.commands == ["start"]


async def test_a_session_is_found_by_id_and_by_name(api: Api) -> None:
    session_id = await api.new_session("a")
    by_id = await api.get(f"/v1/sessions/{session_id}")
    by_name = await api.get("/v1/sessions/a")
    assert by_id.status == 200
    assert by_id.json == by_name.json


async def test_all_sessions_are_listed_page_by_page(api: Api) -> None:
    ids = [await api.new_session(f"s{n}") for n in range(5)]
    seen: list[str] = []
    path = "/v1/sessions?limit=2"
    pages = 0
    while path:
        page = (await api.get(path)).json
        pages += 1
        seen += [s["id"] for s in page["sessions"]]
        after = page["next_after"]
        path = f"/v1/sessions?limit=2&after={after}" if after else ""
    assert seen == sorted(ids)
    assert pages == 3


async def test_a_full_last_page_has_no_next(api: Api) -> None:
    await api.new_session("a")
    page = await api.get("/v1/sessions?limit=1")
    assert page.json["next_after"] is None


@pytest.mark.parametrize(
    ("verb", "commands", "desired"),
    [
        ("start", ["start"], "running"),
        ("stop", ["stop"], "stopped"),
        ("logout", ["logout"], "stopped"),
        ("restart", ["restart", "start"], "running"),
    ],
)
@pytest.mark.parametrize("before", list(Desired))
async def test_a_verb_stores_the_wish_and_commands_the_fleet(
    api: Api, verb: str, commands: list[str], desired: str, before: Desired
) -> None:
    session_id = await api.new_session("a", desired=before)
    for path in (f"/v1/sessions/a/{verb}", f"/v1/sessions/{session_id}/{verb}"):
        done = await api.post(path)
        assert (done.status, done.json["desired"]) == (200, desired)
    assert api.fleet.commands == commands * 2
    assert {m.session_id for m in api.fleet.messages if hasattr(m, "session_id")} == {session_id}


async def test_starting_what_runs_changes_nothing(api: Api) -> None:
    session_id = await api.new_session("a")
    await api.set_status(session_id, SessionStatus.CONNECTED, "ready")
    before = (await api.get("/v1/sessions/a")).json
    started = await api.post("/v1/sessions/a/start")
    assert (started.status, started.json) == (200, before)


async def test_the_answer_is_the_session_afterwards(api: Api) -> None:
    session_id = await api.new_session("a")
    await api.set_status(session_id, SessionStatus.CONNECTED, "ready")

    async def close_browser(message: FleetMessage) -> None:
        assert isinstance(message, EndSession)
        await api.set_status(message.session_id, SessionStatus.DISCONNECTED, "stopped")

    api.fleet.on_ask = close_browser
    stopped = (await api.post("/v1/sessions/a/stop")).json
    assert (stopped["status"], stopped["reason"]) == ("disconnected", "stopped")
    assert stopped["reason_text"].startswith("It was stopped on request")


@pytest.mark.parametrize("verb", VERBS)
async def test_a_verb_takes_an_empty_object_too(api: Api, verb: str) -> None:
    await api.new_session("a")
    assert (await api.post(f"/v1/sessions/a/{verb}", {})).status == 200


async def test_deleting(api: Api) -> None:
    session_id = await api.new_session("a")
    gone = await api.call("DELETE", "/v1/sessions/a")
    assert (gone.status, gone.raw) == (204, b"")
    assert [m.kind for m in api.fleet.messages if isinstance(m, EndSession)] == [StopKind.DELETE]
    for ref in ("a", session_id):
        again = await api.call("DELETE", f"/v1/sessions/{ref}")
        assert (again.status, again.code) == (404, "session_not_found")
    assert (await api.get("/v1/sessions")).json["sessions"] == []
    assert (await api.post("/v1/sessions", {"name": "a"})).json["id"] != session_id


async def test_deleting_at_the_same_time_is_deleting_once(api: Api) -> None:
    session_id = await api.new_session("a")
    commands = SessionCommands(api.deps)
    await asyncio.gather(*(commands.delete(api.deps.workspace_id, session_id) for _ in range(3)))
    assert api.fleet.commands == ["delete"]
    with pytest.raises(SessionNotFound):
        await api.store.any_session(session_id)


async def test_a_start_during_a_delete_finds_the_session_gone(api: Api) -> None:
    session_id = await api.new_session("a")
    deleting, proceed = asyncio.Event(), asyncio.Event()

    async def hold(message: FleetMessage) -> None:
        if isinstance(message, EndSession):
            deleting.set()
            await proceed.wait()

    api.fleet.on_ask = hold
    delete = asyncio.ensure_future(api.call("DELETE", f"/v1/sessions/{session_id}"))
    await asyncio.wait_for(deleting.wait(), 5)
    start = asyncio.ensure_future(api.post(f"/v1/sessions/{session_id}/start"))
    # The store answers in order of arrival, so this read proves nothing about the start; only the
    # fleet's mailbox does: whatever comes first, no start may follow the delete.
    assert (await api.get(f"/v1/sessions/{session_id}")).status == 200
    proceed.set()
    assert (await delete).status == 204
    assert (await start).code == "session_not_found"
    assert api.fleet.commands == ["delete"]


async def test_a_stop_does_not_wait_for_a_slow_start(api: Api) -> None:
    await api.new_session("a", desired=Desired.STOPPED)
    started = asyncio.Event()
    stopped = asyncio.Event()

    async def slow_start(message: FleetMessage) -> None:
        if isinstance(message, EndSession):
            stopped.set()
        else:
            started.set()
            await stopped.wait()

    api.fleet.on_ask = slow_start
    start = asyncio.ensure_future(api.post("/v1/sessions/a/start"))
    await asyncio.wait_for(started.wait(), 5)
    assert (await api.post("/v1/sessions/a/stop")).json["desired"] == "stopped"
    assert (await start).json["desired"] == "stopped"
    assert api.fleet.commands == ["start", "stop"]


class UnevenStore:
    """A store port of one session whose every answer takes a random number of turns of the loop."""

    def __init__(self, row: SessionRow, seed: int) -> None:
        self.row = row
        self._random = Random(seed)  # noqa: S311 - only to shuffle

    async def ping(self) -> None:
        for _ in range(self._random.choice([0, 1, 5, 50])):
            await asyncio.sleep(0)

    async def session(self, _workspace: str, _session: str) -> SessionRow:
        await self.ping()
        row = self.row
        await self.ping()
        return row

    async def set_desired(
        self, _workspace: str, _session: str, desired: Desired, now_ms: int
    ) -> SessionRow:
        await self.ping()
        self.row = replace(self.row, desired=desired, updated_ms=now_ms)
        await self.ping()
        return self.row


async def test_the_last_wish_is_the_last_command(api: Api) -> None:
    session_id = await api.new_session("a", desired=Desired.STOPPED)
    row = await api.store.any_session(session_id)
    for seed in range(100):
        uneven: Any = UnevenStore(row, seed)
        commands = SessionCommands(replace(api.deps, store=uneven))
        verbs = [commands.restart, commands.stop, commands.start, commands.stop, commands.restart]
        Random(seed).shuffle(verbs)  # noqa: S311 - only to shuffle
        await asyncio.gather(*(verb("", session_id) for verb in verbs))
        last = api.fleet.commands[-1]
        assert uneven.row.desired is (Desired.STOPPED if last == "stop" else Desired.RUNNING), seed


async def test_a_stop_during_a_restart_wins(api: Api) -> None:
    await api.new_session("a")
    restarting, stopped = asyncio.Event(), asyncio.Event()

    async def hold(message: FleetMessage) -> None:
        if isinstance(message, EndSession) and message.kind is StopKind.RESTART:
            restarting.set()
            await stopped.wait()

    api.fleet.on_ask = hold
    restart = asyncio.ensure_future(api.post("/v1/sessions/a/restart"))
    await asyncio.wait_for(restarting.wait(), 5)
    assert (await api.post("/v1/sessions/a/stop")).status == 200
    stopped.set()
    assert (await restart).json["desired"] == "stopped"
    assert api.fleet.commands == ["restart", "stop"]


ALL_VERBS = [("POST", f"/{verb}") for verb in VERBS] + [("DELETE", "")]


@pytest.mark.parametrize(("method", "verb"), ALL_VERBS)
async def test_a_refusal_is_passed_on(api: Api, method: str, verb: str) -> None:
    await api.new_session("a")
    api.fleet.answer = Refused(code="fleet_full", message="Stop another session first.")
    refused = await api.call(method, f"/v1/sessions/a{verb}")
    assert (refused.status, refused.code) == (409, "fleet_full")
    assert refused.json["detail"] == "Stop another session first."
    assert (await api.get("/v1/sessions/a")).status == 200


@pytest.mark.parametrize(("method", "verb"), ALL_VERBS)
async def test_a_late_fleet_is_told_as_such_and_the_wish_stays(
    tmp_path: Path, method: str, verb: str
) -> None:
    async with running_api(tmp_path, command_deadline=0.05) as api:
        await api.new_session("a", desired=Desired.STOPPED)
        never = asyncio.Event()

        async def hang(_: FleetMessage) -> None:
            await never.wait()

        api.fleet.on_ask = hang
        late = await api.call(method, f"/v1/sessions/a{verb}")
        assert (late.status, late.code) == (504, "fleet_timeout")
        api.fleet.on_ask = None
        wish = "running" if verb in {"/start", "/restart"} else "stopped"
        assert (await api.get("/v1/sessions/a")).json["desired"] == wish
        assert (await api.call(method, f"/v1/sessions/a{verb}")).status in {200, 204}


@pytest.mark.parametrize(("method", "verb"), ALL_VERBS)
@pytest.mark.parametrize("desired", list(Desired))
async def test_without_a_fleet_nothing_changes(
    api: Api, method: str, verb: str, desired: Desired
) -> None:
    await api.new_session("a", desired=desired)
    before = (await api.get("/v1/sessions/a")).json
    api.fleet.running = False
    down = await api.call(method, f"/v1/sessions/a{verb}")
    assert (down.status, down.code, down.headers["Retry-After"]) == (503, "fleet_down", "5")
    assert (await api.get("/v1/sessions/a")).json == before


@pytest.mark.parametrize(("method", "verb"), [*ALL_VERBS, ("GET", "")])
@pytest.mark.parametrize(
    "ref", [UNKNOWN_ID, "nobody", UNKNOWN_ID.lower(), "A", "%00", "a%20b", "ä"]
)
async def test_an_unknown_session_is_not_found(api: Api, method: str, verb: str, ref: str) -> None:
    unknown = await api.call(method, f"/v1/sessions/{ref}{verb}")
    assert (unknown.status, unknown.code) == (404, "session_not_found")
    assert api.fleet.commands == []


async def test_a_locked_database_is_busy_and_works_afterwards(tmp_path: Path) -> None:
    async with running_api(tmp_path) as api:
        await api.new_session("a", desired=Desired.STOPPED)
        async with other_writer(tmp_path / "wafleet.db"):
            busy = await api.post("/v1/sessions/a/start")
            assert (busy.status, busy.code) == (503, "storage_busy")
            assert busy.headers["Retry-After"] == "1"
            assert api.fleet.commands == []
            assert (await api.get("/v1/sessions/a")).status == 200
        assert (await api.post("/v1/sessions/a/start")).status == 200


async def test_a_session_is_archived_on_demand(api: Api) -> None:
    await api.new_session("a")
    done = await api.post("/v1/sessions/a/archive")
    assert done.status == 200
    assert done.json == {"generation": 7, "bytes": 1234, "pause_seconds": 0.125, "seconds": 1.5}
    assert api.fleet.commands == ["archive"]
    api.fleet.answer = Refused(code="not_connected", message="Start it first.")
    refused = await api.post("/v1/sessions/a/archive")
    assert (refused.status, refused.code) == (409, "not_connected")
    api.fleet.running = False
    down = await api.post("/v1/sessions/a/archive")
    assert (down.status, down.code) == (503, "fleet_down")
