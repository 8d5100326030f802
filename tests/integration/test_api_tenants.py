"""Two tenants on one node: neither reaches anything of the other; keys do what they may."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import pytest

from api.keys import EVERY_SCOPE, Scope, make_key, stored_scopes
from api.rules import RULES
from storage.keys import NewKey
from storage.messages import NewOutbound
from storage.store import Desired
from storage.tenants import PlanLimits
from storage.uploads import UploadFacts
from storage.webhooks import NewWebhook
from tests.integration.test_api_borders import OPEN, ROUTES, filled
from tests.integration.test_api_server import UNKNOWN_ID, Api, Reached, running_api

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection
    from pathlib import Path

pytestmark = pytest.mark.integration

TEXT: Final = {"to": "15550100199", "text": "hello"}
BODIES: Final[dict[tuple[str, str], Any]] = {
    ("POST", "/v1/sessions"): {"name": "made"},
    ("POST", "/v1/sessions/{session}/messages"): TEXT,
    ("POST", "/v1/sessions/{session}/chats/{jid}/typing"): {},
    ("POST", "/v1/sessions/{session}/messages/batch"): {"messages": [TEXT]},
    ("POST", "/v1/sessions/{session}/messages/resolve"): {"action": "fail"},
    ("POST", "/v1/sessions/{session}/messages/{message}/resolve"): {"action": "fail"},
    ("POST", "/v1/keys"): {"name": "made", "scopes": ["key:admin"]},
    ("POST", "/v1/webhooks"): {"url": "https://hooks.example/in", "messages": False},
    ("PATCH", "/v1/webhooks/{webhook}"): {"enabled": False},
    ("POST", "/v1/webhooks/{webhook}/rotate"): {},
    ("POST", "/v1/webhooks/{webhook}/replay"): {},
}
CLOSED: Final = [(m, t) for m, t in ROUTES if t not in OPEN]
WITH_IDS: Final = [(m, t) for m, t in ROUTES if "{" in t]


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        yield running


async def made_key(
    api: Api,
    workspace_id: str,
    scopes: Collection[Scope] = EVERY_SCOPE,
    sessions: Collection[str] | None = None,
    expires_ms: int | None = None,
) -> tuple[str, str]:
    """Store a key; return its text and its public id."""
    made = make_key("test")
    new = NewKey(
        key_id=made.parts.key_id,
        name="a key",
        hash=made.parts.hash,
        scopes=stored_scopes(scopes, sessions),
        expires_ms=expires_ms,
    )
    record = await api.deps.store.create_key(workspace_id, new, api.deps.now_ms())
    return made.text, record.id


@dataclass(frozen=True)
class Tenant:
    """A workspace with a session (name `a`, a QR code on show), a message, an upload and a key."""

    id: str
    key: str
    key_id: str
    session: str
    message: str
    media: str
    webhook: str
    api: Api

    async def call(self, method: str, path: str, body: object = None) -> Reached:
        headers = {"Authorization": f"Bearer {self.key}"}
        options: dict[str, Any] = {"json": body} if body is not None else {}
        return await self.api.call(method, path, headers=headers, **options)

    async def get(self, path: str) -> Reached:
        return await self.call("GET", path)


async def tenant(api: Api, name: str, plan: str = "default") -> Tenant:
    store, now = api.deps.store, api.deps.now_ms()
    home = (await store.create_workspace(name, now, plan)).id
    session, _ = await store.create_session(home, "a", now)
    await store.set_desired(home, session.id, Desired.RUNNING, now)
    message = await store.accept_message(
        home,
        NewOutbound(
            session_id=session.id,
            chat="15550100100@c.us",
            wa_id=api.deps.new_wa_id(),
            body=f"secret of {name}",
            now_ms=now,
        ),
    )
    facts = UploadFacts(mimetype="text/plain", size=1, problem=None)
    media = await api.deps.uploads.save_upload(home, [b"x"], lambda: facts, filename=None)
    api.show_qr(session.id, f"2@qr-of-{name}")
    text, key = await made_key(api, home)
    webhook = await store.create_webhook(
        home,
        NewWebhook(
            session_id=None,
            url=f"https://{name}.example/in",
            description="",
            events=frozenset(),
            messages=False,
            seal=lambda _: "sealed",
        ),
        now,
    )
    return Tenant(home, text, key, session.id, message.id, media.id, webhook.id, api)


async def state_of(api: Api, one: Tenant) -> object:
    """Return what a stranger might have changed."""
    store = api.deps.store
    return (
        await store.sessions(one.id),
        await store.messages(one.id, one.session),
        [replace(key, last_used_ms=None) for key in await store.keys(one.id)],
        await store.events(one.id),
        await store.webhooks(one.id),
    )


@pytest.mark.parametrize(("method", "template"), WITH_IDS)
async def test_every_foreign_id_is_not_there(api: Api, method: str, template: str) -> None:
    """Each id of the path swapped alone and all together; and the same answer as for no such id."""
    ours, theirs = await tenant(api, "ours"), await tenant(api, "theirs")
    before = await state_of(api, theirs)
    kinds = ("session", "message", "media", "webhook")
    own = {"key": ours.key_id, **{kind: getattr(ours, kind) for kind in kinds}}
    foreign = {"key": theirs.key_id, **{kind: getattr(theirs, kind) for kind in kinds}}
    names = [name for name in own if f"{{{name}}}" in template]
    body = BODIES.get((method, template))

    def path(swapped: Collection[str], there: dict[str, str]) -> str:
        found = template.replace("{jid}", "15550100100@c.us")
        for name in names:
            found = found.replace(f"{{{name}}}", there[name] if name in swapped else own[name])
        return found

    nowhere = dict.fromkeys(own, UNKNOWN_ID)
    swaps = [[name] for name in names] + [names]
    for swapped in swaps:
        refused = await ours.call(method, path(swapped, foreign), body)
        unknown = await ours.call(method, path(swapped, nowhere), body)
        assert refused.status == unknown.status == 404, (swapped, refused.raw)
        if method != "HEAD":
            assert refused.code in {f"{name}_not_found" for name in own}
            known = {**refused.json, "instance": ""}
            assert known == {**unknown.json, "instance": ""}
    assert await state_of(api, theirs) == before
    assert api.fleet.messages == []
    passed = await ours.call(method, path([], foreign), body)
    assert passed.status < 500
    assert (passed.status == 404) is template.endswith("/media"), "the message has no file"


async def test_names_are_each_tenant_s_own(api: Api) -> None:
    ours, theirs = await tenant(api, "ours"), await tenant(api, "theirs")
    for one in (ours, theirs):
        assert (await one.get("/v1/sessions/a")).json["id"] == one.session
        made = await one.call("POST", "/v1/sessions", {"name": "b"})
        assert made.status == 201
    assert (await ours.call("DELETE", "/v1/sessions/b")).status == 204
    assert (await ours.get("/v1/sessions/b")).status == 404
    assert (await theirs.get("/v1/sessions/b")).status == 200


async def test_no_list_shows_anything_foreign(api: Api) -> None:
    ours, theirs = await tenant(api, "ours"), await tenant(api, "theirs")
    lists = ("sessions", "numbers", "events", "audit", "keys", "webhooks")
    for path in (f"/v1/{name}" for name in lists):
        await theirs.get("/v1/sessions/a/qr")  # so that their access log has something
        shown = (await ours.get(path)).raw.decode()
        for secret in (theirs.id, theirs.session, theirs.message, theirs.webhook, "theirs"):
            assert secret not in shown, path
    sessions = (await ours.get("/v1/sessions")).json["sessions"]
    assert [one["id"] for one in sessions] == [ours.session]
    for path in ("/v1/events", "/v1/audit"):
        foreign = await ours.get(f"{path}?session={theirs.session}")
        assert (foreign.status, foreign.code) == (404, "session_not_found")


async def test_no_parameter_names_a_workspace(api: Api) -> None:
    ours, theirs = await tenant(api, "ours"), await tenant(api, "theirs")
    for query in (f"workspace={theirs.id}", f"workspace_id={theirs.id}"):
        assert (await ours.get(f"/v1/sessions?{query}")).code == "fields_invalid"
    body = {"name": "c", "workspace_id": theirs.id}
    assert (await ours.call("POST", "/v1/sessions", body)).code == "fields_invalid"


async def test_metrics_are_for_the_operator(api: Api) -> None:
    ours = await tenant(api, "ours")
    refused = await ours.get("/metrics")
    assert (refused.status, refused.code) == (403, "operator_only")
    assert (await api.get("/metrics")).status == 200


# ---- scopes ----


@pytest.mark.parametrize("scope", list(Scope))
async def test_a_scope_opens_its_routes_and_no_other(api: Api, scope: Scope) -> None:
    one = await tenant(api, "one")
    home = api.deps.workspace_id
    for workspace_id in (one.id, home):
        with_it, _ = await made_key(api, workspace_id, [scope])
        without, _ = await made_key(api, workspace_id, EVERY_SCOPE - {scope})
        for method, template in CLOSED:
            rule = RULES["GET" if method == "HEAD" else method, template]
            if rule.operator and workspace_id != home:
                continue
            body = BODIES.get((method, template))
            path = filled(template, session="nobody")
            options: dict[str, Any] = {"json": body} if body is not None else {}
            for key, may in (
                (with_it, rule.scope in {None, scope}),
                (without, rule.scope != scope),
            ):
                headers = {"Authorization": f"Bearer {key}"}
                answer = await api.call(method, path, headers=headers, **options)
                assert (answer.status != 403) is may, (method, template, answer.raw)
                if not may and method != "HEAD":
                    assert answer.code == "scope_missing"
                    assert answer.json["scope"] == rule.scope


async def test_a_key_without_scopes_may_read_the_document_and_nothing_else(api: Api) -> None:
    text, _ = await made_key(api, api.deps.workspace_id, [])
    headers = {"Authorization": f"Bearer {text}"}
    open_to_it = [
        (m, t) for m, t in CLOSED if (await api.call(m, filled(t), headers=headers)).status != 403
    ]
    assert open_to_it == [("GET", "/v1/openapi.json"), ("HEAD", "/v1/openapi.json")]


async def test_the_document_tells_the_scopes(api: Api) -> None:
    document = (await api.get("/v1/openapi.json")).json
    for (method, path), rule in RULES.items():
        security = document["paths"][path][method.lower()].get("security")
        told = [] if rule.open else None if rule.scope is None else [{"key": [rule.scope]}]
        assert security == told, path


# ---- keys for certain sessions ----


@pytest.mark.parametrize(("method", "template"), CLOSED)
async def test_a_key_for_one_session_reaches_no_other(api: Api, method: str, template: str) -> None:
    one = await tenant(api, "one")
    other, _ = await api.deps.store.create_session(one.id, "b", api.deps.now_ms())
    text, _ = await made_key(api, one.id, sessions=[other.id])
    limited = replace(one, key=text)
    body = BODIES.get((method, template))
    for ref in (one.session, "a"):
        answer = await limited.call(method, filled(template, ref, one.message), body)
        if "{session}" in template:
            assert answer.status == 404, template
        else:
            assert one.session not in answer.raw.decode(), template
            assert one.key_id not in answer.raw.decode(), template
    assert api.fleet.messages == []


async def test_a_key_for_one_session_works_there(api: Api) -> None:
    one = await tenant(api, "one")
    other, _ = await api.deps.store.create_session(one.id, "b", api.deps.now_ms())
    text, _ = await made_key(api, one.id, sessions=[one.session])
    limited = replace(one, key=text)
    assert (await limited.call("POST", "/v1/sessions/a/messages", TEXT)).status == 202
    assert (await limited.get("/v1/sessions/a/qr")).status == 200
    for path, member in (("/v1/sessions", "id"), ("/v1/numbers", "session_id")):
        page = (await limited.get(path)).json
        assert [row[member] for row in page[path.rpartition("/")[2]]] == [one.session]
    events = (await limited.get("/v1/events")).json["events"]
    assert {event["session_id"] for event in events} == {one.session}
    assert (await limited.get(f"/v1/events?session={other.id}")).status == 404
    made = await limited.call("POST", "/v1/sessions", {"name": "c"})
    assert (made.status, made.code) == (403, "key_limited")


# ---- plans ----


async def test_a_plan_s_limits_answer_with_limit_use_and_plan(api: Api) -> None:
    store = api.deps.store
    await store.create_plan("small", PlanLimits(sessions=2, messages=3), api.deps.now_ms())
    one = await tenant(api, "one", "small")
    assert (await one.call("POST", "/v1/sessions", {"name": "b"})).status == 201
    full = await one.call("POST", "/v1/sessions", {"name": "c"})
    assert (full.status, full.code) == (409, "plan_limit_reached")
    told = {name: full.json[name] for name in ("limit_name", "limit", "used", "plan")}
    assert told == {"limit_name": "sessions", "limit": 2, "used": 2, "plan": "small"}
    assert (await one.call("POST", "/v1/sessions", {"name": "b"})).status == 200
    for _ in range(2):
        assert (await one.call("POST", "/v1/sessions/a/messages", TEXT)).status == 202
    over = await one.call("POST", "/v1/sessions/a/messages", TEXT)
    assert (over.status, over.code) == (429, "plan_limit_reached")
    told = {name: over.json[name] for name in ("limit_name", "limit", "used", "plan")}
    assert told == {"limit_name": "messages", "limit": 3, "used": 3, "plan": "small"}
    assert 1 <= int(over.headers["Retry-After"]) <= 86_400


# ---- numbers ----
