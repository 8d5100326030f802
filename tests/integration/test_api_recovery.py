"""Asking for another QR code, reconnecting, and what a full node answers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from actors.limiter_messages import QrLimited
from actors.live import LiveSession
from actors.messages import CapacityReached, Done, FleetMessage, RefreshQr, Refused, ToService
from actors.verbs import QrVerb, ReconnectVerb, qr_verb, reconnect_verb
from storage.store import Desired
from tests.integration.test_api_server import Api, running_api
from tests.unit.test_verbs import TABLE
from tests.waiting import eventually_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from storage.store import SessionStatus

pytestmark = pytest.mark.integration

FULL = CapacityReached(code="capacity_reached", message="Stop one first.", limit=5, used=5)
LIMITED = QrLimited(
    code="qr_limited", message="Ask later.", most=5, seconds=59.2, next_ms=1_800_000_059_200
)


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        yield running


async def put(api: Api, status: SessionStatus, reason: str, phase: str | None) -> str:
    """Make a session that stands there."""
    session_id = await api.new_session("a", desired=Desired.STOPPED)
    await api.set_status(session_id, status, reason)
    if phase is not None:
        live = LiveSession(
            session_id=session_id,
            incarnation=9,
            phase=phase,
            status=status.value,
            reason=reason,
            since_ms=1,
        )
        api.live.put(live)
    return session_id


@pytest.mark.parametrize(("status", "reason", "phase", "_qr", "_back"), TABLE)
async def test_another_code_is_to_be_had_as_the_table_says(
    api: Api, status: SessionStatus, reason: str, phase: str | None, _qr: str, _back: str
) -> None:
    await put(api, status, reason, phase)
    for _ in range(2):  # idempotent
        answer = await api.post("/v1/sessions/a/qr")
        match qr_verb(status, reason, phase):
            case QrVerb.OPEN:
                assert (answer.status, answer.json["desired"]) == (200, "running")
                assert api.fleet.commands == ["TellQrLimit", "start"]
            case QrVerb.REFRESH:
                assert answer.status == 200
                assert api.fleet.commands == ["RefreshQr"]
            case sentence:
                assert (answer.status, answer.code) == (409, "qr_not_permitted")
                assert answer.json["detail"] == sentence
                assert answer.json["session_status"] == status.value
                assert answer.json["session_reason"] == reason
                assert api.fleet.commands == []
        api.fleet.messages.clear()


@pytest.mark.parametrize(("status", "reason", "phase", "_qr", "_back"), TABLE)
async def test_a_session_is_brought_back_as_the_table_says(
    api: Api, status: SessionStatus, reason: str, phase: str | None, _qr: str, _back: str
) -> None:
    await put(api, status, reason, phase)
    for _ in range(2):
        answer = await api.post("/v1/sessions/a/reconnect")
        match reconnect_verb(status, reason, phase):
            case ReconnectVerb.NOTHING:
                assert answer.status == 200
                assert api.fleet.commands == []
            case ReconnectVerb.START:
                assert (answer.status, answer.json["desired"]) == (200, "running")
                assert api.fleet.commands == ["start"]
            case ReconnectVerb.RESTART:
                assert (answer.status, answer.json["desired"]) == (200, "running")
                assert api.fleet.commands == ["restart", "start"]
            case sentence:
                assert (answer.status, answer.code) == (409, "reconnect_not_permitted")
                assert answer.json["detail"] == sentence
                assert answer.json["session_reason"] == reason
                assert api.fleet.commands == []
        api.fleet.messages.clear()


@pytest.mark.parametrize("verb", ["qr", "reconnect"])
async def test_both_are_noted_in_the_access_log(api: Api, verb: str) -> None:
    session_id = await api.new_session("a", desired=Desired.STOPPED)
    await api.post(f"/v1/sessions/a/{verb}")
    [entry] = (await api.get("/v1/audit?limit=1")).json["entries"]
    assert (entry["action"], entry["session_id"]) == (f"session.{verb}", session_id)


async def test_too_many_codes_are_told_with_the_time_of_the_next(api: Api) -> None:
    """Before anything is started, or by the session whose window has no codes left."""
    session_id = await api.new_session("a", desired=Desired.STOPPED)
    api.fleet.answer = LIMITED
    answer = await api.post("/v1/sessions/a/qr")
    assert (answer.status, answer.code) == (429, "qr_limited")
    assert answer.headers["Retry-After"] == "60"
    assert answer.json["next_at"] == "2027-01-15T08:00:59.200Z"
    assert answer.json["limit"] == 5
    assert api.fleet.commands == ["TellQrLimit"]
    assert (await api.get("/v1/sessions/a")).json["desired"] == "stopped"
    api.show_qr(session_id, "code")
    answer = await api.post("/v1/sessions/a/qr")
    assert (answer.status, answer.code) == (429, "qr_limited")
    assert isinstance(api.fleet.messages[-1], RefreshQr)


async def test_a_limiter_that_is_being_started_again_is_waited_for_by_the_client(api: Api) -> None:
    await api.new_session("a", desired=Desired.STOPPED)
    api.fleet.answer = Refused(code="service_down", message="Try again in a moment.")
    for method, path in (("POST", "/v1/sessions/a/qr"), ("GET", "/pressure")):
        answer = await api.call(method, path)
        assert (answer.status, answer.code, answer.headers["Retry-After"]) == (
            503,
            "service_down",
            "1",
        )


@pytest.mark.parametrize("verb", ["start", "restart", "qr", "reconnect"])
@pytest.mark.parametrize("before", list(Desired))
async def test_a_full_node_starts_nothing_and_wants_nothing(
    api: Api, verb: str, before: Desired
) -> None:
    """Not at the next boot either, unless that was wanted before."""
    session_id = await api.new_session("a", desired=before)
    if verb == "reconnect":
        await api.set_status(session_id, "failed", "conflict")  # type: ignore[arg-type]

    async def full(message: FleetMessage) -> None:
        api.fleet.answer = Done() if isinstance(message, ToService) else FULL

    api.fleet.on_ask = full
    answer = await api.post(f"/v1/sessions/a/{verb}")
    assert (answer.status, answer.code) == (409, "capacity_reached")
    assert (answer.json["limit"], answer.json["used"]) == (5, 5)
    assert (await api.get("/v1/sessions/a")).json["desired"] == before.value


async def test_of_two_starts_the_one_that_finds_a_place_counts(api: Api) -> None:
    """The other one's refusal, which comes later, does not take its wish back."""
    await api.new_session("a", desired=Desired.STOPPED)
    asked: list[FleetMessage] = []
    go = asyncio.Event()

    async def race(message: FleetMessage) -> None:
        asked.append(message)
        if len(asked) == 1:
            await go.wait()
            api.fleet.answer = FULL
        else:
            api.fleet.answer = Done()

    api.fleet.on_ask = race
    late = asyncio.ensure_future(api.post("/v1/sessions/a/start"))
    await eventually_async(lambda: _are(asked, 1))
    assert (await api.post("/v1/sessions/a/start")).status == 200
    go.set()
    assert (await late).code == "capacity_reached"
    assert (await api.get("/v1/sessions/a")).json["desired"] == "running"


async def test_of_two_refused_starts_the_last_takes_the_wish_back(api: Api) -> None:
    await api.new_session("a", desired=Desired.STOPPED)
    asked: list[FleetMessage] = []
    go = asyncio.Event()

    async def race(message: FleetMessage) -> None:
        asked.append(message)
        await go.wait()

    api.fleet.on_ask = race
    api.fleet.answer = FULL
    starts = [asyncio.ensure_future(api.post("/v1/sessions/a/start")) for _ in range(2)]
    await eventually_async(lambda: _are(asked, 2))
    go.set()
    assert {(await start).code for start in starts} == {"capacity_reached"}
    assert (await api.get("/v1/sessions/a")).json["desired"] == "stopped"


async def _are(messages: list[Any], count: int) -> bool:
    return len(messages) == count


async def test_pressure_is_told_to_the_operator(api: Api) -> None:
    answer = await api.get("/pressure")
    assert answer.status == 200
    expected: dict[str, Any] = {
        "max_sessions": 50,
        "in_use": 3,
        "launch_slots": 2,
        "launching": ["a"],
        "waiting": ["b"],
        "blocked": {
            "cause": "memory",
            "detail": "Too little memory is available for one more browser.",
            "seconds": 1.5,
        },
        "memory": {"available_bytes": 5, "total_bytes": None},
        "descriptors": {"used": 7, "limit": None},
        "pressure": {"cpu_percent": None, "memory_percent": None, "load": 0.5},
    }
    assert answer.json == expected
