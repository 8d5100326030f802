"""What must hold for every route that the application has: keys, refusals, headers, logs."""

from __future__ import annotations

import asyncio
import io
import json
import re
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from actors.live import LiveBoard
from api.app import ApiDeps, build_app
from tests.integration.test_api_server import KEY, Api, RecordingFleet, running_api

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.integration

BEARER: Final = {"Authorization": f"Bearer {KEY}"}


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        yield running


def every_route() -> list[tuple[str, str]]:
    """Return (method, template) of all routes of an application."""
    store: Any = None
    deps = ApiDeps(
        store=store,
        live=LiveBoard(),
        fleet=RecordingFleet(),
        workspace_id="",
        api_key=KEY,
        now_ms=lambda: 0,
        new_wa_id=str,
        telemetry=CollectorRegistry(),
        version="0",
        progress=lambda: True,
        uploads=store,
        checks=store,
        forecasts=store,
        media=store,
        secrets=store,
    )
    routes = build_app(deps).router.routes()
    return sorted((r.method, r.resource.canonical) for r in routes if r.resource is not None)


ROUTES: Final = every_route()
OPEN: Final = {"/healthz", "/readyz"}
TAKES_FORMS: Final = {"/v1/broadcasting/auth"}


def filled(template: str, session: str = "a", message: str = "01J9ZS8XQ2N4B6D8F0H2K4M6P8") -> str:
    path = template.replace("{session}", session).replace("{message}", message)
    path = path.replace("{jid}", "15550100002@c.us")
    path = path.replace("{webhook}", message)
    return path.replace("{key}", message).replace("{media}", message)


def test_the_routes_are_the_known_ones() -> None:
    assert len([r for r in ROUTES if r[0] != "HEAD"]) == 61
    assert {t for _, t in ROUTES if not t.startswith("/v1/")} == {*OPEN, "/metrics", "/pressure"}


async def test_the_openapi_document_has_every_route_and_no_other(api: Api) -> None:
    document = (await api.get("/v1/openapi.json")).json
    described = {
        (method.upper(), path) for path, methods in document["paths"].items() for method in methods
    }
    assert described == {r for r in ROUTES if r[0] != "HEAD"}
    unlocked = {
        path
        for path, methods in document["paths"].items()
        for operation in methods.values()
        if operation.get("security") == []
    }
    assert unlocked == OPEN
    refs = set(re.findall(r'"\$ref": "#/components/schemas/(\w+)"', json.dumps(document)))
    assert refs <= set(document["components"]["schemas"])


@pytest.mark.parametrize(("method", "template"), [r for r in ROUTES if r[1] not in OPEN])
async def test_every_route_but_the_probes_needs_the_key(
    api: Api, method: str, template: str
) -> None:
    await api.new_session("a")
    path = filled(template)
    wrong: list[Any] = [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": KEY},
        {"Authorization": f"Basic {KEY}"},
        {"Authorization": f"Bearer {KEY[:-1]}"},
        {"Authorization": f"Bearer {KEY}x"},
        {"Authorization": f"Bearer {KEY.upper()}"},
        {"Authorization": f"Bearer {KEY} {KEY}"},
        {"Authorization": f"Bearer {KEY}, Bearer {KEY}"},
        {"Authorization": "Bearer ключ"},
        {"X-Api-Key": KEY},
        [("Authorization", f"Bearer {KEY}"), ("Authorization", f"Bearer {KEY}")],
    ]
    for headers in wrong:
        refused = await api.call(method, path, headers=headers)
        assert refused.status == 401, headers
        assert refused.headers["WWW-Authenticate"] == 'Bearer realm="wafleet"'
        if method != "HEAD":
            assert refused.code == "unauthorized"
    for query in (f"api_key={KEY}", f"access_token={KEY}", f"key={KEY}"):
        assert (await api.call(method, f"{path}?{query}", headers={})).status == 401
    assert api.fleet.messages == []
    passed = await api.call(method, path, headers={"Authorization": f"bEaReR  {KEY}"})
    assert passed.status not in {401, 500}


@pytest.mark.parametrize("path", ["/", "/v1", "/v2/sessions", "/nope", "/v1/sessions/", "/static"])
async def test_unknown_paths_are_closed_too(api: Api, path: str) -> None:
    assert (await api.call("GET", path, headers={})).code == "unauthorized"
    unknown = await api.get(path)
    assert (unknown.status, unknown.code) == (404, "route_not_found")


@pytest.mark.parametrize(("method", "template"), ROUTES)
async def test_every_route_refuses_unknown_query_parameters(
    api: Api, method: str, template: str
) -> None:
    await api.new_session("a")
    refused = await api.call(method, f"{filled(template)}?bogus=1&limit_=2")
    assert refused.status == 422
    if method != "HEAD":
        assert refused.code == "fields_invalid"
        needed = ["number"] if template.endswith("/check") else []
        assert refused.fields == ["bogus", "limit_", *needed]
    assert api.fleet.messages == []


@pytest.mark.parametrize("template", sorted({t for _, t in ROUTES}))
async def test_every_route_refuses_other_methods(api: Api, template: str) -> None:
    allowed = {m for m, t in ROUTES if t == template}
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"} - allowed:
        refused = await api.call(method, filled(template))
        assert (refused.status, refused.code) == (405, "method_not_allowed")
        assert set(refused.headers["Allow"].split(",")) == allowed


WITH_BODY: Final = [r for r in ROUTES if r[0] in {"POST", "DELETE"}]
JSON_TYPE: Final = {**BEARER, "Content-Type": "application/json"}


@pytest.mark.parametrize(("method", "template"), WITH_BODY)
@pytest.mark.parametrize(
    ("body", "headers", "expected"),
    [
        (b"{", JSON_TYPE, (400, "body_invalid")),
        (b"[]", JSON_TYPE, (400, "body_invalid")),
        (b"null", JSON_TYPE, (400, "body_invalid")),
        (b'{"a":1,"a":1}', JSON_TYPE, (400, "body_invalid")),
        (b'{"text":"\\ud800"}', JSON_TYPE, (400, "body_invalid")),
        (b"\xff", JSON_TYPE, (400, "body_invalid")),
        (b"[" * 100_000, JSON_TYPE, (400, "body_invalid")),
        (b"{}", BEARER, (415, "media_type_invalid")),
        (b"{}", {**BEARER, "Content-Type": "text/plain"}, (415, "media_type_invalid")),
        (
            b"a=1",
            {**BEARER, "Content-Type": "application/x-www-form-urlencoded"},
            (415, "media_type_invalid"),
        ),
        (
            b"{}",
            {**BEARER, "Content-Type": "application/json; charset=utf-16"},
            (415, "media_type_invalid"),
        ),
        (b"{}", {**JSON_TYPE, "Content-Encoding": "gzip"}, (415, "media_type_invalid")),
        (b"{" + b" " * 1_100_000 + b"}", JSON_TYPE, (413, "body_too_large")),
        (b'{"bogus":1}', JSON_TYPE, (422, "fields_invalid")),
    ],
    ids=lambda value: repr(value)[:24],
)
async def test_every_body_is_refused_alike(
    api: Api, method: str, template: str, *, body: bytes, headers: Any, expected: tuple[int, str]
) -> None:
    if template == "/v1/media" and expected == (415, "media_type_invalid"):
        headers = {**headers, "Content-Encoding": "gzip"}  # else any body is a file there
    await api.new_session("a")
    if template in TAKES_FORMS and "form" in headers.get("Content-Type", ""):
        expected = (422, "fields_invalid")  # it is read, and has not what is wanted
    refused = await api.call(method, filled(template), data=io.BytesIO(body), headers=headers)
    assert (refused.status, refused.code) == expected
    if refused.status == 422:
        assert {"bogus", "a"} & set(refused.fields)
    assert api.fleet.messages == []


@pytest.mark.parametrize(
    ("path", "body", "fields"),
    [
        ("/v1/sessions", {}, ["name"]),
        ("/v1/sessions", {"name": "A"}, ["name"]),
        ("/v1/sessions", {"name": None}, ["name"]),
        ("/v1/sessions", {"name": "a" * 64}, ["name"]),
        ("/v1/sessions", {"name": "b", "start": "yes"}, ["start"]),
        ("/v1/sessions", {"name": "", "start": 1, "x": 0}, ["name", "start", "x"]),
        ("/v1/sessions/a/messages", {}, ["text", "to"]),
        ("/v1/sessions/a/messages", {"to": "x", "text": " "}, ["text", "to"]),
        ("/v1/sessions/a/messages", {"to": 15550100199, "text": 1}, ["text", "to"]),
        ("/v1/sessions/a/messages", {"to": "15550100199", "text": "a" * 65_537}, ["text"]),
        ("/v1/sessions/a/messages", {"to": "15550100199", "text": "a", "id": 1}, ["id"]),
        ("/v1/sessions/a/messages", {"to": "1" * 100_000, "text": "a"}, ["to"]),
    ],
    ids=lambda value: repr(value)[:40],
)
async def test_wrong_fields_are_named_and_not_repeated(
    api: Api, path: str, body: object, fields: list[str]
) -> None:
    await api.new_session("a")
    refused = await api.post(path, body)
    assert (refused.status, refused.code, refused.fields) == (422, "fields_invalid", fields)
    assert b"15550100199" not in refused.raw
    assert len(refused.raw) < 2000


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/v1/sessions?limit=0", ["limit"]),
        ("/v1/sessions?limit=501", ["limit"]),
        ("/v1/sessions?limit=1&limit=2", ["limit"]),
        ("/v1/sessions?after=x&limit=", ["after", "limit"]),
        ("/v1/sessions?after=%FF", ["after"]),
        ("/v1/sessions/a/messages?limit=201", ["limit"]),
        ("/v1/sessions/a/messages?direction=sideways", ["direction"]),
        ("/v1/sessions/a/messages?chat=status@broadcast", ["chat"]),
        ("/v1/sessions/a/messages?before=" + "9" * 26, ["before"]),
    ],
)
async def test_wrong_query_parameters_are_named(api: Api, path: str, fields: list[str]) -> None:
    await api.new_session("a")
    refused = await api.get(path)
    assert (refused.status, refused.code, refused.fields) == (422, "fields_invalid", fields)


@pytest.mark.parametrize(("method", "template"), ROUTES)
async def test_no_answer_may_be_stored_or_guessed(api: Api, method: str, template: str) -> None:
    await api.new_session("a")
    for headers in (BEARER, {}):
        answer = await api.call(method, filled(template), headers=headers)
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Server"] == "wafleet"
        assert len(answer.headers["X-Request-Id"]) == 32


@pytest.mark.parametrize(
    ("offered", "kept"),
    [
        ("abc-1.2_Z", True),
        ("a" * 64, True),
        ("a" * 65, False),
        ("", False),
        ("a b", False),
        ("<b>", False),
        ("ä", False),
    ],
)
async def test_a_sane_request_id_is_kept(api: Api, offered: str, kept: bool) -> None:
    answer = await api.call("GET", "/healthz", headers={"X-Request-Id": offered})
    assert (answer.headers["X-Request-Id"] == offered) is kept


FIELDS: Final = ["name", "start", "to", "text", "messages", "action", "send_at", "priority"]
JSON: Final = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["a", "+15550100199", "\ud800", "\0"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["name", "start", "to", "text", "messages", "action", "send_at"])
            | st.text(),
            inner,
        )
    ),
    max_leaves=10,
)


async def test_no_json_ever_breaks_a_route(api: Api) -> None:
    """Hypothesis is synchronous, so it runs in a thread and sends its bodies to this loop."""
    await api.new_session("a")
    loop = asyncio.get_running_loop()
    posts = [filled(t) for m, t in ROUTES if m == "POST"]

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(path=st.sampled_from(posts), value=JSON)
    @example(path="/v1/sessions", value={"name": "a", "start": True})
    @example(path="/v1/sessions/a/messages", value={"to": "+15550100199", "text": "\0"})
    def send(path: str, value: object) -> None:
        call = api.call("POST", path, data=json.dumps(value).encode(), headers=JSON_TYPE)
        answer = asyncio.run_coroutine_threadsafe(call, loop).result(30)
        assert answer.status in {200, 201, 202, 204, 400, 404, 409, 422}
        if answer.status >= 400:
            assert answer.code

    await asyncio.to_thread(send)
