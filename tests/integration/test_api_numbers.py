"""Numbers and events over the API, each tenant's own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from storage.messages import Direction, MessageState, NewInbound
from storage.store import Provider, SessionNotFound, SessionStatus
from tests.integration.test_api_server import KEY, UNKNOWN_ID, Api, running_api

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path
from tests.integration.test_api_tenants import BODIES, TEXT, tenant

pytestmark = pytest.mark.integration


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        yield running


async def test_one_number_is_primary(api: Api) -> None:
    one = await tenant(api, "one")
    other = (await one.call("POST", "/v1/sessions", {"name": "b"})).json["id"]
    for name in ("a", "b", "b"):
        marked = await one.call("POST", f"/v1/sessions/{name}/primary")
        assert marked.json["is_primary"]
    numbers = (await one.get("/v1/numbers")).json["numbers"]
    assert [(n["session_id"], n["is_primary"]) for n in numbers] == [
        (one.session, False),
        (other, True),
    ]
    assert (numbers[0]["status"], numbers[0]["reason"]) == ("qr_scanning", "qr_shown")
    assert numbers[0]["evidence_at"]
    assert (numbers[1]["status"], numbers[1]["evidence_at"]) == ("disconnected", None)
    page = (await one.get("/v1/numbers?limit=1")).json
    assert page["next_after"] == one.session


async def test_a_deactivated_number_does_nothing_until_it_is_activated(api: Api) -> None:
    one = await tenant(api, "one")
    await one.call("POST", "/v1/sessions/a/primary")
    off = (await one.call("POST", "/v1/sessions/a/deactivate")).json
    assert (off["is_active"], off["is_primary"], off["desired"]) == (False, False, "stopped")
    assert api.fleet.commands == ["stop"]
    for verb in ("start", "restart", "primary"):
        refused = await one.call("POST", f"/v1/sessions/a/{verb}")
        assert (refused.status, refused.code) == (409, "session_inactive"), verb
    refused = await one.call("POST", "/v1/sessions/a/messages", TEXT)
    assert (refused.status, refused.code) == (409, "session_inactive")
    assert api.fleet.commands == ["stop"]
    on = (await one.call("POST", "/v1/sessions/a/activate")).json
    assert (on["is_active"], on["desired"]) == (True, "stopped")
    assert (await one.call("POST", "/v1/sessions/a/start")).status == 200
    assert api.fleet.commands == ["stop", "start"]


async def test_a_number_is_not_deactivated_while_its_browser_can_t_be_closed(api: Api) -> None:
    one = await tenant(api, "one")
    api.fleet.running = False
    refused = await one.call("POST", "/v1/sessions/a/deactivate")
    assert (refused.status, refused.code) == (503, "fleet_down")
    assert (await one.get("/v1/sessions/a")).json["is_active"]


async def test_who_made_a_session_is_kept(api: Api) -> None:
    one = await tenant(api, "one")
    made = (await one.call("POST", "/v1/sessions", {"name": "b"})).json
    row = await api.deps.store.session(one.id, made["id"])
    assert (row.created_by, row.provider) == (one.key_id, Provider.WEBJS)
    assert made["provider_type"] == "webjs"


async def test_events_are_paged_filtered_and_followed(api: Api) -> None:
    one = await tenant(api, "one")
    store, now = api.deps.store, api.deps.now_ms()
    await api.set_status(one.session, SessionStatus.CONNECTED, "ready")
    await store.record_inbound(
        NewInbound(
            session_id=one.session,
            chat="15550100188@c.us",
            sender="15550100188@c.us",
            wa_id="3EB0FF",
            kind="chat",
            body="canary-body",
            sent_ms=now,
            now_ms=now,
        )
    )
    everything = (await one.get("/v1/events")).json
    kinds = ["session.created", "message.accepted", "session.status", "message.received"]
    assert [event["type"] for event in everything["events"]] == kinds
    assert everything["more"] is False
    text = str(everything)
    assert "canary" not in text
    assert "15550100188" not in text

    read, after = [], ""
    while True:
        page = (await one.get(f"/v1/events?limit=1{after}")).json
        read += page["events"]
        if not page["more"]:
            break
        after = f"&after={page['next_after']}"
    assert read == everything["events"]
    last = everything["next_after"]
    assert last == read[-1]["id"]
    quiet = (await one.get(f"/v1/events?after={last}")).json
    assert quiet == {"events": [], "next_after": last, "more": False}

    some = await one.get("/v1/events?types=session.status,message.accepted&session=a")
    assert [event["type"] for event in some.json["events"]] == kinds[1:3]
    wrong = await one.get("/v1/events?types=session.status,nonsense")
    assert (wrong.status, wrong.fields) == (422, ["types"])

    await one.call("DELETE", "/v1/sessions/a")
    gone = (await one.get(f"/v1/events?session={one.session}")).json["events"]
    assert gone[-1]["type"] == "session.deleted"
    assert (await one.get("/v1/events?session=a")).status == 404


async def test_message_states_are_as_the_store_says(api: Api) -> None:
    """The swap test above must not pass because nothing is stored at all."""
    one = await tenant(api, "one")
    [row] = await api.deps.store.messages(one.id, one.session)
    assert (row.direction, row.state) == (Direction.OUTBOUND, MessageState.ACCEPTED)
    with pytest.raises(SessionNotFound):
        await api.deps.store.session(one.id, UNKNOWN_ID)


async def test_no_key_is_logged(api: Api) -> None:
    one = await tenant(api, "one")
    with capture_logs() as logs:
        made = (await one.call("POST", "/v1/keys", BODIES["POST", "/v1/keys"])).json
        await replace(one, key=made["key"]).get("/v1/sessions")
        await replace(one, key=made["key"][:-1]).get("/v1/sessions")
        await one.call("DELETE", f"/v1/keys/{made['id']}")
        await replace(one, key=made["key"]).get("/v1/sessions")
    written = repr(logs)
    assert "request_served" in written
    for secret in (one.key, made["key"], made["key"][-49:], KEY):
        assert secret not in written
