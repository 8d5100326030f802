"""The access log: who did what, noted before the answer and holding nothing personal."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest
from structlog.testing import capture_logs

from api.keys import EVERY_SCOPE, Scope
from api.recorder import MOST_REFUSALS, PATIENCE
from api.rules import RULES
from storage.store import SessionStatus
from storage.tenants import DEFAULT
from tests.integration.outbox_support import claim_next
from tests.integration.test_api_borders import filled
from tests.integration.test_api_server import KEY, Api, running_api
from tests.integration.test_api_tenants import BODIES, Tenant, made_key, tenant
from tests.waiting import eventually_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

from tests.integration.test_api_access import entries

pytestmark = pytest.mark.integration


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        yield running


# Who may listen to broadcasts is answered only where there are some: see test_api_broadcast. A file
# is handed in as no JSON: see test_api_media.
ELSEWHERE: Final = {("POST", "/v1/broadcasting/auth"), ("POST", "/v1/media")}

NOTED: Final = sorted(
    place for place, rule in RULES.items() if rule.action is not None and place not in ELSEWHERE
)


@pytest.mark.parametrize(("method", "template"), NOTED)
async def test_every_change_and_every_qr_view_is_noted(
    api: Api, method: str, template: str
) -> None:
    one = await tenant(api, "one")
    rule, body = RULES[method, template], BODIES.get((method, template))
    path = template.replace("{key}", one.key_id).replace("{webhook}", one.webhook)
    if template.endswith("/reconnect"):  # there has to be something to bring back
        api.live.drop(one.session, 1)
        await api.set_status(one.session, SessionStatus.FAILED, "conflict")
    if template.endswith("{message}/resolve"):  # and something to doubt
        await claim_next(api.store, one.session, api.deps.now_ms())
        await api.store.record_unknown(one.message, "no_answer", "x", api.deps.now_ms())
    answer = await one.call(method, filled(path, "a", one.message), body)
    assert answer.status < 300, answer.raw
    [entry] = await entries(api, one.id, 1)
    assert (entry.action, entry.result) == (rule.action, "done")
    assert (entry.key, entry.who) == (one.key_id, one.key_id)
    assert entry.ip_address == "127.0.0.1"
    if "{session}" in template:
        assert entry.session_id == one.session
    assert re.fullmatch(r"[\w:{}\", ]*", str(dict(entry.detail)).replace("'", '"'))


async def test_an_entry_is_on_the_disk_before_the_answer(api: Api) -> None:
    one = await tenant(api, "one")
    for n in range(1, 6):
        await one.get("/v1/sessions/a/qr")
        assert (await api.deps.store.access_head(one.id)).number == n


async def test_the_entry_of_a_message_is_written_together_with_it(api: Api) -> None:
    """So it is there with the answer; and each call has one, also a repeat and a refusal."""
    one = await tenant(api, "one")
    before = (await api.deps.store.access_head(one.id)).number
    for n in range(1, 4):
        answer = await one.call(
            "POST", "/v1/sessions/a/messages", {"to": "15550100099", "text": "x"}
        )
        assert (await api.deps.store.access_head(one.id)).number == before + n
        [entry] = await api.deps.store.access_log(one.id, limit=1)
        assert (entry.action, entry.result) == ("message.send", "done")
        assert dict(entry.detail) == {"message_id": answer.json["id"]}
        assert (entry.session_id, entry.key) == (one.session, one.key_id)
    await one.call("POST", "/v1/sessions/a/messages", {"to": "nobody", "text": "x"})
    noted = await entries(api, one.id, before + 4)
    assert [entry.result for entry in noted[-2:]] == ["done", "fields_invalid"]


async def test_reading_is_not_noted(api: Api) -> None:
    one = await tenant(api, "one")
    for path in ("/v1/sessions", "/v1/sessions/a", "/v1/numbers", "/v1/events", "/v1/audit"):
        assert (await one.get(path)).status == 200
    await one.call("POST", "/v1/sessions/a/stop")
    [entry] = await entries(api, one.id, 1)
    assert entry.action == "session.stop"


async def test_what_failed_is_noted_with_its_code(api: Api) -> None:
    one = await tenant(api, "one")
    api.fleet.running = False
    await one.call("POST", "/v1/sessions/a/start")
    await one.call("POST", "/v1/sessions/nobody/start")
    await one.call("POST", "/v1/sessions/a/start", {"x": 1})
    api.live.drop(one.session, 1)
    await one.get("/v1/sessions/a/qr.png")
    noted = await entries(api, one.id, 4)
    assert [(e.action, e.result, e.session_id) for e in noted] == [
        ("session.start", "fleet_down", one.session),
        ("session.start", "session_not_found", None),
        ("session.start", "fields_invalid", None),
        ("qr.view", "qr_not_available", one.session),
    ]


async def test_refused_keys_are_noted_where_they_belong(api: Api) -> None:
    """An unknown key in the operator's workspace; a known one in its own, and in no other."""
    one, home = await tenant(api, "one"), api.deps.workspace_id
    expired, expired_id = await made_key(api, one.id, expires_ms=1)
    reader, reader_id = await made_key(api, one.id, [Scope.SESSION_READ])
    canary = "wsk_live_canary"
    for key in (canary, expired, reader):
        await replace(one, key=key).call("POST", "/v1/sessions/a/logout")
    await replace(one, key=canary).get("/v1/nowhere/canary-path")
    await api.call("GET", "/v1/sessions", headers={})
    noted = await entries(api, one.id, 2)
    assert [(e.action, e.result, e.key) for e in noted] == [
        ("session.logout", "key_expired", expired_id),
        ("session.logout", "scope_missing", reader_id),
    ]
    noted = await entries(api, home, 3)
    assert [(e.action, e.result, e.who, e.detail["route"]) for e in noted] == [
        ("session.logout", "unauthorized", "unknown", "/v1/sessions/{session}/logout"),
        ("auth", "unauthorized", "unknown", "unmatched"),
        ("auth", "unauthorized", "unknown", "/v1/sessions"),
    ]
    assert all(e.ip_address == "127.0.0.1" for e in noted)
    assert "canary" not in str(noted)


async def test_guessing_keys_does_not_fill_the_disk(api: Api) -> None:
    for _ in range(MOST_REFUSALS + 20):
        await api.call("GET", "/v1/sessions", headers={"Authorization": "Bearer guess"})
    await entries(api, api.deps.workspace_id, MOST_REFUSALS)


async def test_entries_are_in_order_and_none_is_lost_at_the_end(tmp_path: Path) -> None:
    async with running_api(tmp_path) as api:
        one = await tenant(api, "one")
        text = {"to": "15550100199", "text": "hello"}
        sent = await asyncio.gather(
            *(one.call("POST", "/v1/sessions/a/messages", text) for _ in range(40))
        )
        made = {answer.json["id"] for answer in sent}
    async with running_api(tmp_path) as api:
        noted = await entries(api, one.id, 40)
        assert {entry.detail["message_id"] for entry in noted} == made
        assert [entry.number for entry in noted] == list(range(1, 41))


async def test_a_busy_database_delays_the_entry_and_not_the_answer(tmp_path: Path) -> None:
    """Tried again until it is written, after the first try was given up."""
    async with running_api(tmp_path) as api:
        one = await tenant(api, "one")
        await one.get("/v1/sessions")

        async def use_is_noted() -> bool:
            return (await api.deps.store.keys(one.id))[0].last_used_ms is not None

        async def given_up() -> bool:
            return {"access_entry"} == {e.get("what") for e in logs if "waits" in e["event"]}

        await eventually_async(use_is_noted)
        with (
            capture_logs() as logs,
            closing(sqlite3.connect(tmp_path / "wafleet.db", isolation_level=None)) as plain,
        ):
            plain.execute("BEGIN IMMEDIATE")
            begun = time.monotonic()
            assert (await one.get("/v1/sessions/a/qr")).status == 200
            assert time.monotonic() - begun < PATIENCE + 1
            await eventually_async(given_up)
            assert (await api.deps.store.access_head(one.id)).number == 0
            plain.execute("ROLLBACK")
        [entry] = await entries(api, one.id, 1)
        assert entry.action == "qr.view"


async def test_the_access_log_over_http(api: Api) -> None:
    one = await tenant(api, "one")
    await one.call("POST", "/v1/sessions", {"name": "b"})
    await one.call("POST", "/v1/sessions/a/stop")
    await one.get("/v1/sessions/a/qr")
    page = (await one.get("/v1/audit?limit=2")).json
    assert [entry["action"] for entry in page["entries"]] == ["qr.view", "session.stop"]
    assert page["next_before"] == 2
    rest = (await one.get(f"/v1/audit?before={page['next_before']}")).json
    assert [entry["action"] for entry in rest["entries"]] == ["session.create"]
    assert rest["next_before"] is None
    assert rest["entries"][0]["hash"] == page["entries"][1]["previous_hash"]
    of_a = (await one.get("/v1/audit?session=a")).json["entries"]
    assert {entry["session_id"] for entry in of_a} == {one.session}
    assert len(of_a) == 2
    reader, _ = await made_key(api, one.id, EVERY_SCOPE - {Scope.AUDIT_READ})
    assert (await replace(one, key=reader).get("/v1/audit")).code == "scope_missing"


async def test_the_access_log_holds_nothing_personal(api: Api, tmp_path: Path) -> None:
    one: Tenant = await tenant(api, "one")
    await api.set_status(one.session, SessionStatus.CONNECTED, "ready")
    number, text = "15550100177", "canary-body"
    await one.call("POST", "/v1/sessions/a/messages", {"to": number, "text": text})
    await one.call("POST", "/v1/sessions/a/messages", {"to": number, "text": text, "canary": 1})
    await one.call("POST", "/v1/sessions", {"name": "canary-name"})
    await one.call("POST", "/v1/sessions/canary-name/start?canary=1")
    await one.call("DELETE", "/v1/keys/canary-key")
    await one.get("/v1/sessions/a/qr")
    await entries(api, one.id, 6)
    with closing(sqlite3.connect(tmp_path / "wafleet.db")) as plain:
        rows = plain.execute("SELECT * FROM whatsapp_session_access_logs").fetchall()
        head = plain.execute("SELECT name FROM workspaces WHERE name = ?", (DEFAULT,)).fetchall()
    assert len(head) == 1
    written = str(rows)
    for secret in (number, "canary", "2@qr", one.key, KEY):
        assert secret not in written
