"""Webhooks over HTTP: made, changed, rotated, replayed; what was tried; who may do what."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from api.keys import EVERY_SCOPE, Scope
from storage.tenants import PlanLimits
from storage.vault import SecretBox
from storage.webhooks import NewAttempt, Round, Waiting, secret_context
from tests.integration.archive_support import RING
from tests.integration.test_api_server import UNKNOWN_ID, Api, Reached, running_api
from tests.integration.test_api_tenants import made_key, tenant

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.integration

URL = "https://hooks.example/in?token=canary-url"


class Changes:
    """Counts how often delivery was told to look again."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


@pytest.fixture
def changes() -> Changes:
    return Changes()


@pytest.fixture
async def api(tmp_path: Path, changes: Changes) -> AsyncIterator[Api]:
    async with running_api(tmp_path, webhooks_changed=changes) as running:
        yield running


async def made(api: Api, **fields: Any) -> dict[str, Any]:
    answer = await api.post("/v1/webhooks", {"url": URL, **fields})
    assert answer.status == 201, answer.raw
    shown: dict[str, Any] = answer.json
    return shown


async def test_a_webhook_is_made_read_changed_and_deleted(api: Api, changes: Changes) -> None:
    session = await api.new_session("a")
    answer = await api.post(
        "/v1/webhooks",
        {"url": URL, "events": ["message.received"], "session": session, "description": "crm"},
    )
    one = answer.json
    assert answer.headers["Location"] == f"/v1/webhooks/{one['id']}"
    assert (one["url"], one["events"], one["session_id"]) == (URL, ["message.received"], session)
    assert (one["disabled"], one["failing_since"], one["messages"]) == (None, None, True)
    path = f"/v1/webhooks/{one['id']}"
    without = {name: value for name, value in one.items() if name != "secret"}
    assert (await api.get(path)).json == without
    assert (await api.get("/v1/webhooks")).json == {"webhooks": [without], "next_after": None}
    changed = await api.call("PATCH", path, json={"events": [], "enabled": False})
    assert (changed.json["events"], changed.json["disabled"]) == ([], "operator")
    again = await api.call("PATCH", path, json={"enabled": True, "description": ""})
    assert (again.json["disabled"], again.json["description"]) == (None, "")
    assert changes.count == 3
    assert (await api.call("DELETE", path)).status == 204
    assert changes.count == 4
    for method in ("GET", "DELETE"):
        gone = await api.call(method, path)
        assert (gone.status, gone.code) == (404, "webhook_not_found")


async def test_the_secret_is_shown_once_and_kept_sealed(api: Api) -> None:
    one = await made(api)
    assert len(base64.b64decode(one["secret"].removeprefix("whsec_"))) == 32
    record = await api.deps.store.webhook(api.deps.workspace_id, one["id"])
    assert one["secret"] not in record.secret
    box = SecretBox(RING)
    assert box.open(record.secret, secret_context(one["id"])).decode() == one["secret"]
    rotated = (await api.post(f"/v1/webhooks/{one['id']}/rotate", {"overlap": 60})).json
    assert rotated["secret"] != one["secret"]
    assert rotated["previous_secret_until"] > rotated["updated_at"]
    record = await api.deps.store.webhook(api.deps.workspace_id, one["id"])
    assert record.previous_secret is not None
    opened = box.open(record.previous_secret, secret_context(one["id"])).decode()
    assert opened == one["secret"]
    page = await api.get("/v1/webhooks")
    assert b"whsec_" not in page.raw
    assert "whsec_" not in repr(record)


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"url": "http://hooks.example/in"}, ["url"]),
        ({"url": "https://127.0.0.1/in"}, ["url"]),
        ({"url": "https://169.254.169.254/latest"}, ["url"]),
        ({"url": "https://me:secret@hooks.example/"}, ["url"]),
        ({"url": ""}, ["url"]),
        ({"url": "https://hooks.example/" + "a" * 2048}, ["url"]),
        ({"events": ["nonsense"]}, ["events.0"]),
        ({"events": "message.received"}, ["events"]),
        ({"session": "a"}, ["session"]),
        ({"description": "two\nlines"}, ["description"]),
        ({"messages": "yes"}, ["messages"]),
        ({"secret": "whsec_mine"}, ["secret"]),
    ],
    ids=lambda value: repr(value)[:40],
)
async def test_what_can_t_be_is_refused_by_its_field(
    api: Api, fields: dict[str, Any], wrong: list[str]
) -> None:
    refused = await api.post("/v1/webhooks", {"url": URL, **fields})
    assert (refused.status, refused.code, refused.fields) == (422, "fields_invalid", wrong)
    assert b"secret@" not in refused.raw
    assert (await api.get("/v1/webhooks")).json["webhooks"] == []


async def test_a_session_that_is_not_there_has_no_webhook(api: Api) -> None:
    refused = await api.post("/v1/webhooks", {"url": URL, "session": UNKNOWN_ID})
    assert (refused.status, refused.code) == (404, "session_not_found")


async def test_a_change_to_a_bad_address_changes_nothing(api: Api) -> None:
    one = await made(api)
    path = f"/v1/webhooks/{one['id']}"
    refused = await api.call("PATCH", path, json={"url": "https://[::1]/", "enabled": False})
    assert (refused.status, refused.fields) == (422, ["url"])
    assert (await api.get(path)).json["disabled"] is None


async def test_a_key_shows_no_messages_that_it_may_not_read(api: Api) -> None:
    """Neither by making a webhook, nor by sending another one's elsewhere, nor with its secret."""
    one = await tenant(api, "one")
    whole = (await one.call("POST", "/v1/webhooks", {"url": URL})).json
    text, _ = await made_key(api, one.id, EVERY_SCOPE - {Scope.MESSAGE_READ})
    blind = replace(one, key=text)

    def needs_the_scope(answer: Reached) -> None:
        assert (answer.status, answer.code) == (403, "scope_missing")
        assert answer.json["scope"] == "message:read"

    needs_the_scope(await blind.call("POST", "/v1/webhooks", {"url": URL}))
    bare = await blind.call("POST", "/v1/webhooks", {"url": URL, "messages": False})
    assert bare.status == 201
    path, other = f"/v1/webhooks/{bare.json['id']}", f"/v1/webhooks/{whole['id']}"
    needs_the_scope(await blind.call("PATCH", path, {"messages": True}))
    needs_the_scope(await blind.call("PATCH", other, {"url": "https://elsewhere.example/"}))
    needs_the_scope(await blind.call("POST", f"{other}/rotate", {}))
    assert (await blind.call("PATCH", path, {"url": "https://elsewhere.example/"})).status == 200
    assert (await blind.call("PATCH", other, {"enabled": False})).status == 200
    assert (await blind.call("PATCH", other, {"messages": False, "url": URL})).status == 200


async def test_a_plan_allows_so_many_webhooks(api: Api) -> None:
    await api.deps.store.create_plan("small", PlanLimits(webhooks=2), api.deps.now_ms())
    one = await tenant(api, "one", "small")  # which comes with one
    assert (await one.call("POST", "/v1/webhooks", {"url": URL})).status == 201
    full = await one.call("POST", "/v1/webhooks", {"url": URL})
    assert (full.status, full.code) == (409, "plan_limit_reached")
    told = {name: full.json[name] for name in ("limit_name", "limit", "used", "plan")}
    assert told == {"limit_name": "webhooks", "limit": 2, "used": 2, "plan": "small"}
    await one.call("DELETE", f"/v1/webhooks/{one.webhook}")
    assert (await one.call("POST", "/v1/webhooks", {"url": URL})).status == 201


async def test_attempts_and_dead_letters_are_paged(api: Api, changes: Changes) -> None:
    one = await made(api)
    path = f"/v1/webhooks/{one['id']}"
    ids = [f"01J9ZS8XQ2N4B6D8F0H2K4M6P{n}" for n in range(3)]
    attempts = [
        NewAttempt(
            event_id=key,
            type="session.status",
            number=1,
            failed=number > 0,
            code="refused" if number else "delivered",
            status=500 if number else 200,
            took_ms=5,
            at_ms=1_800_000_000_000,
        )
        for number, key in enumerate(ids)
    ]
    dead = [
        Waiting(
            event_id=key,
            type="session.status",
            lane="",
            attempts=9,
            next_ms=0,
            tried_ms=1_800_000_000_000,
            code="refused",
            status=500,
            dead=True,
        )
        for key in ids
    ]
    await api.deps.store.record_round(one["id"], Round(attempts=attempts, waiting=dead), 1)
    page = (await api.get(f"{path}/attempts?limit=2")).json
    assert [a["event_id"] for a in page["attempts"]] == ids[:0:-1]
    assert page["attempts"][0] == {
        "id": 3,
        "event_id": ids[2],
        "type": "session.status",
        "number": 1,
        "delivered": False,
        "code": "refused",
        "status": 500,
        "took_ms": 5,
        "at": "2027-01-15T08:00:00.000Z",
    }
    rest = (await api.get(f"{path}/attempts?limit=2&before={page['next_before']}")).json
    assert [a["event_id"] for a in rest["attempts"]] == ids[:1]
    assert rest["next_before"] is None
    failed = (await api.get(f"{path}/attempts?failed=true")).json["attempts"]
    assert len(failed) == 2
    letters = (await api.get(f"{path}/dead-letters?limit=2")).json
    assert [d["event_id"] for d in letters["dead_letters"]] == ids[:2]
    assert letters["dead_letters"][0]["attempts"] == 9
    rest = (await api.get(f"{path}/dead-letters?after={letters['next_after']}")).json
    assert [d["event_id"] for d in rest["dead_letters"]] == ids[2:]
    before = changes.count
    replayed = await api.post(f"{path}/replay", {"events": [ids[0], UNKNOWN_ID]})
    assert (replayed.status, replayed.json) == (202, {"replayed": 1})
    assert (await api.post(f"{path}/replay", {})).json == {"replayed": 2}
    assert (await api.post(f"{path}/replay", {})).json == {"replayed": 0}
    assert changes.count == before + 3
    assert (await api.get(f"{path}/dead-letters")).json["dead_letters"] == []


async def test_what_is_done_to_webhooks_is_noted_and_no_address_logged(api: Api) -> None:
    with capture_logs() as logs:
        one = await made(api)
        await api.post(f"/v1/webhooks/{one['id']}/rotate", {})
        await api.call("DELETE", f"/v1/webhooks/{one['id']}")
    entries = (await api.get("/v1/audit")).json["entries"]
    noted = [(e["action"], e["detail"]) for e in entries if e["action"].startswith("webhook.")]
    assert noted == [
        ("webhook.delete", {"deleted": one["id"]}),
        ("webhook.rotate", {"rotated": one["id"]}),
        ("webhook.create", {"made": one["id"]}),
    ]
    written = repr(logs) + repr(entries)
    assert "canary-url" not in written
    assert one["secret"] not in written
