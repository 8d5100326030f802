"""What WhatsApp does to a session, through the real programs: right state, reason, restarts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.conftest import Node, account, connect, contact, simulator
from tests.waiting import eventually_async

if TYPE_CHECKING:
    from collections.abc import Callable

    from supervisor.demo_parts import Api
    from supervisor.processes import SimulatorPlace

pytestmark = pytest.mark.acceptance

RESTARTS = "wafleet_session_restarts_total{"


async def restarts(api: Api) -> list[str]:
    """Return the restart counters that are not zero."""
    lines = (await api.text("/metrics")).splitlines()
    return [line for line in lines if line.startswith(RESTARTS)]


async def fault(api: Api, kind: str, **params: Any) -> None:
    await api.simulator("/faults", {"kind": kind, **params})


async def test_a_code_is_refreshed_and_an_unscanned_window_closes(
    make_node: Callable[..., Node],
) -> None:
    """Several different codes, then qr_timeout: no browser, no restart, until someone asks."""
    with simulator("--qr-first-ttl=1", "--qr-ttl=1") as place:
        node = make_node(place, WAFLEET_QR_CODES_PER_WINDOW="3")
        node.start()
        async with node.api() as api:
            await api.post("/v1/sessions", {"name": "one", "start": True})
            codes: set[str] = set()

            async def closed() -> bool:
                code = await api.text_if_any("/v1/sessions/one/qr.txt")
                codes.update([code] if code else [])
                session = await api.get("/v1/sessions/one")
                return (session["reason"], session["desired"]) == ("qr_timeout", "stopped")

            await eventually_async(closed)
            assert len(codes) == 3
            assert node.browsers() == []
            assert await restarts(api) == []
            assert (await api.get("/v1/sessions/one"))["status"] == "disconnected"
            await api.post("/v1/sessions/one/start", {})
            await api.session_becomes("one", "qr_scanning", "qr_shown")
        node.program.stop()


async def test_whatsapp_closing_the_window_first_is_a_qr_timeout_too(
    make_node: Callable[..., Node],
) -> None:
    """The page goes idle after its last code; the session says so instead of waiting for ever."""
    with simulator("--qr-first-ttl=0.4", "--qr-ttl=0.4", "--qr-codes=2") as place:
        node = make_node(place, WAFLEET_QR_CODES_PER_WINDOW="5")
        node.start()
        async with node.api() as api:
            await api.post("/v1/sessions", {"name": "one", "start": True})
            await api.session_becomes("one", "disconnected", "qr_timeout")
        node.program.stop()


async def test_a_remote_logout_is_told_once_and_not_restarted(node: Node) -> None:
    """The phone unlinks the device: logged_out, no restart, a new code only when asked."""
    async with node.api() as api:
        number = await connect(api, "one")
        await api.simulator(f"/phones/{number}/logout", {})
        await api.session_becomes("one", "disconnected", "logged_out")
        assert await restarts(api) == []
        assert node.browsers() == []
        changes = [line for line in node.log.splitlines() if '"logged_out"' in line]
        assert sum('"session_status_changed"' in line for line in changes) == 1
        await api.post("/v1/sessions/one/start", {})
        await api.session_becomes("one", "qr_scanning", "qr_shown")


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("ban", "banned"), ("deprecated_version", "deprecated_version"), ("conflict", "conflict")],
)
async def test_a_permanent_cause_fails_the_session_without_a_restart(
    node: Node, kind: str, reason: str
) -> None:
    """Starting again by itself could not help: failed, with the reason, and nothing more."""
    async with node.api() as api:
        number = await connect(api, "one")
        await fault(api, kind, number=number)
        await api.session_becomes("one", "failed", reason)
        assert await restarts(api) == []
        assert node.browsers() == []
        await api.simulator_delete("/faults")


async def test_a_missing_module_that_everything_needs_says_which(
    make_node: Callable[..., Node],
) -> None:
    """Failed with page_incompatible and the binding's name: not a session that is just stuck."""
    with simulator() as place:
        node = make_node(place)
        node.start()
        async with node.api() as api:
            await fault(api, "missing_module", name="WAWebSocketModel")
            await api.post("/v1/sessions", {"name": "one", "start": True})
            await api.session_becomes("one", "failed", "page_incompatible")
            session = await api.get("/v1/sessions/one")
            assert "missing: " in session["detail"]
            assert "Socket" in session["detail"]
            assert await restarts(api) == []
        node.program.stop()


async def test_a_missing_module_of_one_feature_degrades_the_session(
    make_node: Callable[..., Node],
) -> None:
    """Connected/degraded with the names; a send fails clearly instead of hanging."""
    with simulator() as place:
        node = make_node(place)
        node.start()
        async with node.api() as api:
            await fault(api, "missing_module", name="WAWebSendMsgChatAction")
            number = await account(api)
            alice = await contact(api)
            await api.post("/v1/sessions", {"name": "one", "start": True})
            await api.session_becomes("one", "qr_scanning", "qr_shown")
            qr = await api.text("/v1/sessions/one/qr.txt")
            await api.simulator(f"/phones/{number}/scan", {"qr": qr})
            await api.session_becomes("one", "connected", "degraded")
            session = await api.get("/v1/sessions/one")
            assert session["detail"].startswith("missing: ")
            sent = await api.post("/v1/sessions/one/messages", {"to": alice, "text": "hello"})
            path = f"/v1/sessions/one/messages/{sent['id']}"
            await api.message_states(path, "failed")
            assert (await api.get(path))["error"]["code"] == "binding_missing"
        node.program.stop()


async def test_a_lost_socket_is_shown_and_the_session_comes_back(node: Node) -> None:
    """The page reconnects by itself: connected, socket_lost, connected; one browser throughout."""
    async with node.api() as api:
        await connect(api, "one")
        before = [p.pid for p in node.browsers()]
        await fault(api, "refuse_connections")
        await fault(api, "disconnect")
        await api.session_becomes("one", "disconnected", "socket_lost")
        await api.simulator_delete("/faults")
        await api.session_becomes("one", "connected", "ready")
        assert [p.pid for p in node.browsers()] == before


async def test_a_network_that_is_down_is_named_and_survived(
    make_node: Callable[..., Node], place: SimulatorPlace
) -> None:
    """Unreachable, with Chromium's own code; tried again by itself."""
    node = make_node(place, WAFLEET_HOST_RESOLVER_RULES="MAP * ~NOTFOUND")
    node.start()
    async with node.api() as api:
        await api.post("/v1/sessions", {"name": "one", "start": True})
        await api.session_becomes("one", "disconnected", "unreachable")
        assert "net::ERR_" in (await api.get("/v1/sessions/one"))["detail"]

        async def again() -> bool:
            return 'result="ok"} 3.0' in await api.text("/metrics")

        await eventually_async(again)


async def test_an_update_of_the_page_restarts_the_browser_without_a_code(node: Node) -> None:
    """needs_update: a new page is a new version; the login is kept."""
    async with node.api() as api:
        number = await connect(api, "one")
        await fault(api, "needs_update", number=number)

        async def restarted() -> bool:
            return bool(await restarts(api))

        await eventually_async(restarted)
        assert 'cause="update_required"' in (await restarts(api))[0]
        assert "qr_scanning" not in await api.statuses_until("one", "connected")


async def test_messages_wait_for_their_session_and_go_out_in_order(node: Node) -> None:
    """Accepted while the session is down, sent when it is back, each once."""
    async with node.api() as api:
        await connect(api, "one")
        alice = await contact(api)
        await api.post("/v1/sessions/one/restart", {})
        path = "/v1/sessions/one/messages"
        texts = [f"message {n}" for n in range(5)]
        sent = [await api.post(path, {"to": alice, "text": text}) for text in texts]
        for message in sent:
            await api.message_states(f"{path}/{message['id']}", "read")
        entries = [e for e in await api.log("message_received_from_client") if alice in e["chat"]]
        assert [e["text"] for e in entries] == texts
        assert len({e["id"] for e in entries}) == 5


async def test_the_evidence_is_as_young_as_the_last_word_from_whatsapp(node: Node) -> None:
    """A state without a date is a rumour: receipts and inbound messages move it forward."""
    async with node.api() as api:
        number = await connect(api, "one")
        alice = await contact(api)
        before = (await api.get("/v1/sessions/one"))["evidence_at"]
        assert before is not None
        await api.simulator(f"/contacts/{alice}/messages", {"to": number, "text": "hello"})

        async def newer() -> bool:
            return bool((await api.get("/v1/sessions/one"))["evidence_at"] > before)

        await eventually_async(newer)


async def test_one_message_is_in_flight_at_a_time(node: Node) -> None:
    """However fast they are accepted: the next leaves when the server has acked the one before."""
    async with node.api() as api:
        number = await connect(api, "one")
        alice = await contact(api)
        path = "/v1/sessions/one/messages"
        texts = [f"message {n}" for n in range(10)]
        posts = [api.post(path, {"to": alice, "text": text}) for text in texts]
        sent = await asyncio.gather(*posts)
        for message in sent:
            await api.message_states(f"{path}/{message['id']}", "read")
        both = await api.log("message_received_from_client,ack_sent")
        mine = [e["kind"] for e in both if e["number"] == number]
        assert mine == ["message_received_from_client", "ack_sent"] * 10
        order = [e["text"] for e in both if e["number"] == number and "text" in e]
        accepted = sorted(sent, key=lambda message: message["id"])
        assert order == [message["text"] for message in accepted]


async def test_what_a_contact_writes_while_the_session_is_down_is_not_lost(node: Node) -> None:
    """WhatsApp keeps it; it is stored when the session is back, once."""
    async with node.api() as api:
        number = await connect(api, "one")
        alice = await contact(api)
        await api.post("/v1/sessions/one/stop", {})
        for text in ("first", "second"):
            await api.simulator(f"/contacts/{alice}/messages", {"to": number, "text": text})
        await api.post("/v1/sessions/one/start", {})
        path = f"/v1/sessions/one/messages?direction=inbound&chat={alice}@c.us"

        async def stored() -> list[str]:
            found = (await api.get(path))["messages"]
            return [m["text"] for m in found] if len(found) >= 2 else []

        assert await eventually_async(stored) == ["second", "first"]


async def test_a_send_in_flight_when_the_browser_dies_is_unknown_and_then_resolved(
    node: Node,
) -> None:
    """Its ack is lost with the browser; the next life looks it up instead of sending it twice."""
    async with node.api() as api:
        number = await connect(api, "one")
        alice = await contact(api)
        path = "/v1/sessions/one/messages"
        await fault(api, "drop_acks", number=number)
        sent = await api.post(path, {"to": alice, "text": "once"})
        await eventually_async(lambda: _seen(api, alice))
        for process in node.browsers():
            process.kill()
        await api.message_states(f"{path}/{sent['id']}", "unknown")
        await api.simulator_delete("/faults")
        await api.statuses_until("one", "connected")
        entries = await _seen(api, alice)
        assert len({e["id"] for e in entries}) == 1


async def _seen(api: Api, number: str) -> list[dict[str, Any]]:
    entries = await api.log("message_received_from_client")
    return [e for e in entries if number in e["chat"]]
