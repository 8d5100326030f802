"""A real node that is full, in a storm, short of something, or asked for too many QR codes."""

from __future__ import annotations

import asyncio
import resource
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.conftest import Node, account, connect, simulator
from tests.waiting import eventually_async

if TYPE_CHECKING:
    from collections.abc import Callable

    from supervisor.demo_parts import Api
    from supervisor.processes import SimulatorPlace

pytestmark = pytest.mark.acceptance

LAUNCHED = frozenset({"qr_expected", "qr_shown"})
"""Reasons of sessions whose page is open."""


async def refusal(api: Api, path: str) -> tuple[int, dict[str, Any], str | None]:
    """Post and return what a refusal says: status, problem, Retry-After."""
    async with api._http.post(api._url + path, headers=api._headers, json={}) as answer:
        return answer.status, await answer.json(), answer.headers.get("Retry-After")


async def sessions(api: Api) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await api.get("/v1/sessions?limit=500"))["sessions"]
    return found


async def test_a_full_node_refuses_with_limit_and_use_and_starts_nothing_beyond(
    make_node: Callable[..., Node], place: SimulatorPlace
) -> None:
    """Nor at its next start: a refused session is not meant to run."""
    node = make_node(place, WAFLEET_MAX_SESSIONS="2")
    node.start()
    async with node.api() as api:
        names = [f"s{n}" for n in range(5)]
        for name in names:
            await api.post("/v1/sessions", {"name": name})
        answers = await asyncio.gather(*(refusal(api, f"/v1/sessions/{n}/start") for n in names))
        assert sorted(status for status, _, _ in answers) == [200, 200, 409, 409, 409]
        for status, problem, _ in answers:
            if status == 409:
                assert problem["code"] == "capacity_reached"
                assert (problem["limit"], problem["used"]) == (2, 2)
        await eventually_async(lambda: _up(api, 2))
        assert len(node.browsers()) == 2
        pressure = await api.get("/pressure")
        assert (pressure["in_use"], pressure["max_sessions"]) == (2, 2)
        assert "wafleet_pool_refused_total 3.0" in await api.text("/metrics")
    node.program.stop()
    node.start()
    async with node.api() as api:
        await eventually_async(lambda: _up(api, 2))
        assert sum(each["desired"] == "running" for each in await sessions(api)) == 2
        assert len(node.browsers()) == 2


async def _up(api: Api, count: int) -> bool:
    return sum(each["reason"] in LAUNCHED for each in await sessions(api)) == count


async def test_in_a_storm_no_more_browsers_are_launching_than_there_are_slots(
    make_node: Callable[..., Node], place: SimulatorPlace
) -> None:
    """Seen from outside: processes that are there, less the sessions whose page is open by then."""
    node = make_node(place, WAFLEET_LAUNCH_SLOTS="2")
    node.start()
    async with node.api() as api:
        names = [f"s{n}" for n in range(8)]
        for name in names:
            await api.post("/v1/sessions", {"name": name})
        await asyncio.gather(*(api.post(f"/v1/sessions/{name}/start", {}) for name in names))
        most = 0

        async def all_up() -> bool:
            nonlocal most
            there = len(node.browsers())
            up = sum(each["reason"] in LAUNCHED for each in await sessions(api))
            most = max(most, there - up)
            return up == len(names)

        await eventually_async(all_up)
        assert 1 <= most <= 2


async def test_without_descriptors_nothing_is_launched_until_there_are_some(
    make_node: Callable[..., Node], place: SimulatorPlace
) -> None:
    """The limit of the running process is lowered from outside, and raised again."""
    node = make_node(place, WAFLEET_PRESSURE_INTERVAL="0.2")
    node.start()
    async with node.api() as api:
        await connect(api, "runs")
        soft, hard = resource.prlimit(node.program.pid, resource.RLIMIT_NOFILE)
        assert soft == min(hard, 65_536)  # raised at the start
        resource.prlimit(node.program.pid, resource.RLIMIT_NOFILE, (100, hard))
        await api.post("/v1/sessions", {"name": "waits", "start": True})
        detail = await _waits(api)
        assert "descriptors" in detail
        pressure = await api.get("/pressure")
        assert pressure["blocked"]["cause"] == "descriptors"
        assert pressure["descriptors"]["limit"] == 100
        assert len(node.browsers()) == 1
        assert (await api.get("/v1/sessions/runs"))["status"] == "connected"
        resource.prlimit(node.program.pid, resource.RLIMIT_NOFILE, (soft, hard))
        await api.session_becomes("waits", "qr_scanning", "qr_shown")


async def _waits(api: Api) -> str:
    async def look() -> str:
        session = await api.get("/v1/sessions/waits")
        return str(session["detail"] or "") if session["reason"] == "queued" else ""

    return await eventually_async(look)


async def test_without_memory_nothing_is_launched(
    make_node: Callable[..., Node], place: SimulatorPlace
) -> None:
    """More is to be left than this machine has; the session waits, and says for what."""
    node = make_node(place, WAFLEET_MEMORY_RESERVE_MB="16777216")
    node.start()
    async with node.api() as api:
        await api.post("/v1/sessions", {"name": "waits", "start": True})
        assert "memory" in await _waits(api)
        pressure = await api.get("/pressure")
        assert pressure["blocked"]["cause"] == "memory"
        assert 0 < pressure["memory"]["available_bytes"] <= pressure["memory"]["total_bytes"]
        waiting = (await api.get("/v1/sessions/waits"))["id"]
        assert pressure["waiting"] == [waiting]
        assert node.browsers() == []
        assert 'wafleet_launches_blocked{cause="memory"} 1.0' in await api.text("/metrics")
        await api.post("/v1/sessions/waits/stop", {})
        assert (await api.get("/pressure"))["waiting"] == []


async def test_the_sixth_window_of_an_hour_is_refused_also_by_the_next_node(
    make_node: Callable[..., Node],
) -> None:
    """Each window closes unscanned, and nothing is left of its browser; the sixth shows no code."""
    with simulator("--qr-first-ttl=0.3", "--qr-ttl=0.3") as place:
        node = make_node(place, WAFLEET_QR_CODES_PER_WINDOW="1")
        node.start()
        async with node.api() as api:
            await api.post("/v1/sessions", {"name": "one"})
            for number in range(1, 6):
                assert (await api.post("/v1/sessions/one/qr", {}))["desired"] == "running"
                await api.session_becomes("one", "disconnected", "qr_timeout")
                await eventually_async(lambda: _at_rest(api))
                assert node.browsers() == []
                assert await _opened(api) == number
            status, problem, after = await refusal(api, "/v1/sessions/one/qr")
            assert (status, problem["code"]) == (429, "qr_limited")
            assert after is not None
            assert 3400 < int(after) <= 3602
            assert problem["next_at"] > (await api.get("/v1/sessions/one"))["since"]
            one = (await api.get("/v1/sessions/one"))["id"]
            metric = f'wafleet_qr_windows_total{{result="granted",session="{one}"}} 5.0'
            assert metric in await api.text("/metrics")
        node.program.kill()
        node.start()
        async with node.api() as api:
            again, problem, _ = await refusal(api, "/v1/sessions/one/qr")
            assert (again, problem["code"]) == (429, "qr_limited")
            # who starts it all the same gets a browser, but no code
            await api.post("/v1/sessions/one/start", {})
            await api.session_becomes("one", "disconnected", "qr_limited")
            await eventually_async(lambda: _at_rest(api))
            session = await api.get("/v1/sessions/one")
            assert not session["qr_available"]
            assert problem["next_at"][:13] in session["detail"]
            assert node.browsers() == []
            actions = [e["payload"]["action"] for e in await _qr_events(api)]
            assert actions == ["opened", "closed"] * 5 + ["refused"]
            causes = {e["payload"].get("cause") for e in await _qr_events(api)}
            assert causes == {None, "qr_timeout", "qr_limited"}
        node.program.stop()


async def _at_rest(api: Api) -> bool:
    """Tell whether the session's end is written, which is the last thing that its actor does."""
    return bool((await api.get("/v1/sessions/one"))["desired"] == "stopped")


async def _qr_events(api: Api) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await api.get("/v1/events?types=session.qr"))["events"]
    return found


async def _opened(api: Api) -> int:
    return sum(e["payload"]["action"] == "opened" for e in await _qr_events(api))


async def test_another_code_comes_in_the_same_window_and_then_in_a_new_one(
    make_node: Callable[..., Node], place: SimulatorPlace
) -> None:
    """Each is another one that a phone can scan; the third of a window of two opens the next."""
    node = make_node(place, WAFLEET_QR_CODES_PER_WINDOW="2", WAFLEET_QR_WINDOWS="2")
    node.start()
    async with node.api() as api:
        await api.post("/v1/sessions", {"name": "one", "start": True})
        await api.session_becomes("one", "qr_scanning", "qr_shown")
        seen = [(await api.get("/v1/sessions/one/qr"))["text"]]
        for number, windows in ((2, 1), (1, 2), (2, 2)):
            await api.post("/v1/sessions/one/qr", {})

            async def another() -> int:
                qr = await api.get("/v1/sessions/one/qr")
                if qr["text"] in seen:
                    return 0
                seen.append(qr["text"])
                return int(qr["number"])

            assert await eventually_async(another) == number
            assert await _opened(api) == windows
        status, problem, _ = await refusal(api, "/v1/sessions/one/qr")
        assert (status, problem["code"]) == (429, "qr_limited")
        phone = await account(api)  # the code on show is still good
        await api.simulator(f"/phones/{phone}/scan", {"qr": seen[-1]})
        await api.session_becomes("one", "connected", "ready")
        status, problem, _ = await refusal(api, "/v1/sessions/one/qr")
        assert (status, problem["code"]) == (409, "qr_not_permitted")


async def test_a_reconnect_brings_a_session_back_at_once_and_without_a_code(
    make_node: Callable[..., Node], place: SimulatorPlace
) -> None:
    """From its pause after a crash; and one that has lost its socket, with a new browser."""
    pause = {"WAFLEET_RESTART_BACKOFF_FIRST": "3600", "WAFLEET_RESTART_BACKOFF_MAX": "3600"}
    node = make_node(place, **pause)
    node.start()
    async with node.api() as api:
        number = await connect(api, "one")
        for process in node.browsers():
            process.kill()
        await api.session_becomes("one", "disconnected", "browser_exited")

        async def reconnected() -> bool:
            return (await refusal(api, "/v1/sessions/one/reconnect"))[0] == 200

        await eventually_async(reconnected)  # not before what has died is cleared away
        assert "qr_scanning" not in await api.statuses_until("one", "connected")
        [before] = node.browsers()
        await api.simulator("/faults", {"kind": "refuse_connections"})
        await api.simulator("/faults", {"kind": "disconnect", "number": number})
        await api.session_becomes("one", "disconnected", "socket_lost")
        await api.post("/v1/sessions/one/reconnect", {})
        await api.simulator_delete("/faults")
        assert "qr_scanning" not in await api.statuses_until("one", "connected")
        for _ in range(2):  # there is nothing left to do
            await api.post("/v1/sessions/one/reconnect", {})
        [after] = node.browsers()
        assert after.pid != before.pid
