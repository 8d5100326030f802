"""What can be looked at: QR codes, probes, metrics."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from prometheus_client import Counter
from prometheus_client.parser import text_string_to_metric_families

from storage.sqlite import open_store
from storage.store import Desired, SessionStatus, StoreUnusable
from storage.tenants import DEFAULT
from tests.integration.test_api_server import Api, running_api

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.integration

QR_TEXT = "2@" + "AbCdEfGh" * 28 + ",key=,identity=,secret="
DRAWINGS = [("png", "image/png"), ("svg", "image/svg+xml")]


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        yield running


async def test_the_qr_code_as_json(api: Api) -> None:
    api.show_qr(await api.new_session("a"), QR_TEXT)
    shown = await api.get("/v1/sessions/a/qr")
    assert shown.json == {"text": QR_TEXT, "number": 2, "shown_at": "2023-11-14T22:13:20.123Z"}
    assert shown.headers["Cache-Control"] == "no-store"
    session = (await api.get("/v1/sessions/a")).json
    assert session["qr_available"]
    assert QR_TEXT not in str(session)


@pytest.mark.parametrize(("kind", "media_type"), DRAWINGS)
async def test_the_qr_code_drawn(api: Api, kind: str, media_type: str) -> None:
    api.show_qr(await api.new_session("a"), QR_TEXT)
    drawn = await api.get(f"/v1/sessions/a/qr.{kind}")
    assert drawn.status == 200
    assert drawn.headers["Cache-Control"] == "no-store"
    assert drawn.headers["Content-Type"].split(";")[0] == media_type
    assert QR_TEXT.encode() not in drawn.raw


async def test_the_drawings_have_the_same_size_in_modules(api: Api) -> None:
    api.show_qr(await api.new_session("a"), QR_TEXT)
    png, svg = [(await api.get(f"/v1/sessions/a/qr.{kind}")).raw for kind, _ in DRAWINGS]
    width, height = struct.unpack(">II", png[16:24])
    root = ET.fromstring(svg)  # noqa: S314 - our own drawing
    assert width == height == int(root.attrib["width"])
    assert (width // 8 - 8 - 17) % 4 == 0


async def test_the_qr_code_as_bare_text(api: Api) -> None:
    api.show_qr(await api.new_session("a"), QR_TEXT)
    bare = await api.get("/v1/sessions/a/qr.txt")
    assert bare.raw == QR_TEXT.encode()
    assert bare.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert bare.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", ["qr", "qr.png", "qr.svg", "qr.txt"])
@pytest.mark.parametrize(
    ("desired", "status", "reason", "advice"),
    [
        (Desired.RUNNING, SessionStatus.CONNECTED, "ready", "linked already"),
        (Desired.RUNNING, SessionStatus.AUTHENTICATED, "syncing", "linked already"),
        (Desired.STOPPED, SessionStatus.DISCONNECTED, "created", "start it first"),
        (Desired.STOPPED, SessionStatus.DISCONNECTED, "stopped", "start it first"),
        (Desired.RUNNING, SessionStatus.DISCONNECTED, "qr_timeout", "start the session again"),
        (Desired.RUNNING, SessionStatus.DISCONNECTED, "launching", "ask again in a moment"),
        (Desired.RUNNING, SessionStatus.FAILED, "banned", "see its reason"),
    ],
)
async def test_without_a_qr_code_it_says_why(
    api: Api, *, path: str, desired: Desired, status: SessionStatus, reason: str, advice: str
) -> None:
    session_id = await api.new_session("a", desired=desired)
    await api.set_status(session_id, status, reason)
    missing = await api.get(f"/v1/sessions/a/{path}")
    assert (missing.status, missing.code) == (409, "qr_not_available")
    assert missing.headers["Cache-Control"] == "no-store"
    assert advice in missing.json["detail"]
    assert (missing.json["session_status"], missing.json["session_reason"]) == (status, reason)


async def test_a_code_that_is_gone_is_not_shown_again(api: Api) -> None:
    session_id = await api.new_session("a")
    api.show_qr(session_id, QR_TEXT)
    assert (await api.get("/v1/sessions/a/qr")).status == 200
    api.live.drop(session_id, 1)
    assert (await api.get("/v1/sessions/a/qr")).status == 409


async def test_the_probes_need_no_key_and_tell_nothing(api: Api) -> None:
    for path in ("/healthz", "/readyz"):
        answer = await api.call("GET", path, headers={})
        assert (answer.status, answer.json) == (200, {"status": "ok"})


async def test_a_dead_fleet_fails_both_probes(api: Api) -> None:
    api.fleet.running = False
    health = await api.get("/healthz")
    ready = await api.get("/readyz")
    assert (health.status, health.code) == (503, "not_alive")
    assert (ready.status, ready.code) == (503, "not_ready")
    assert health.json["checks"] == {"loops": True, "fleet": False}
    assert ready.json["checks"] == {"store": True, "fleet": False}


async def test_a_stuck_loop_fails_health_only(api: Api) -> None:
    api.healthy[0] = False
    assert (await api.get("/healthz")).json["checks"] == {"loops": False, "fleet": True}
    assert (await api.get("/readyz")).status == 200


class BreakableStore:
    """A store whose disk goes when `broken` is set."""

    def __init__(self, store: object) -> None:
        self._store = store
        self.broken = False

    def __getattr__(self, name: str) -> object:
        return self._fail if self.broken else getattr(self._store, name)

    async def _fail(self, *_: object, **__: object) -> None:
        raise StoreUnusable("/canary/path")


async def test_a_broken_store_is_not_ready_but_still_scraped(tmp_path: Path) -> None:
    async with open_store(tmp_path / "breakable.db") as inner:
        store = BreakableStore(inner)
        home = (await inner.workspace_named(DEFAULT)).id
        async with running_api(tmp_path, store=store, workspace_id=home) as api:
            assert (await api.get("/readyz")).status == 200
            store.broken = True
            ready = await api.get("/readyz")
            assert (ready.status, ready.json["checks"]) == (503, {"store": False, "fleet": True})
            assert (await api.get("/healthz")).status == 200
            values = await scrape(api)
            assert values["wafleet_store_up", ()] == 0
            assert not [name for name, _ in values if name == "wafleet_sessions"]
            failed = await api.get("/v1/sessions")
            assert (failed.status, failed.code) == (503, "storage_unusable")
            assert b"canary" not in failed.raw


Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


async def scrape(api: Api) -> Samples:
    answer = await api.get("/metrics")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = list(text_string_to_metric_families(answer.raw.decode()))
    names = [family.name for family in families]
    assert len(names) == len(set(names))
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


async def test_a_scrape_shows_sessions_messages_and_requests(api: Api) -> None:
    await api.new_session("b")
    api.show_qr(await api.new_session("a"), QR_TEXT)
    await api.post("/v1/sessions/a/messages", {"to": "15550100199", "text": "hello"})
    await api.get("/v1/sessions/zzz")
    await api.call("PROPFIND", "/coffee")
    Counter("wafleet_launches", "Launches.", registry=api.deps.telemetry).inc()

    values = await scrape(api)

    def value(name: str, **labels: str) -> float:
        return values[name, tuple(sorted(labels.items()))]

    assert value("wafleet_store_up") == 1
    assert value("wafleet_sessions", status="qr_scanning", reason="qr_shown") == 1
    assert value("wafleet_sessions", status="disconnected", reason="created") == 1
    assert value("wafleet_sessions", status="connected", reason="") == 0
    assert value("wafleet_messages", direction="outbound", state="accepted") == 1
    assert value("wafleet_messages", direction="outbound", state="read") == 0
    home = {"workspace": api.deps.workspace_id}
    assert 0 <= value("wafleet_session_evidence_age_seconds", session="a", **home) < 60
    assert 3 <= value("wafleet_session_rung_age_seconds", session="a", rung="cdp", **home) < 60
    shown = {"session": "a", "status": "qr_scanning", "reason": "qr_shown"}
    assert 7 <= value("wafleet_session_state_seconds", **shown, **home) < 60
    rungs = [name for name, _ in values if name == "wafleet_session_rung_age_seconds"]
    assert len(rungs) == 1
    assert value("wafleet_launches_total") == 1
    route = "/v1/sessions/{session}"
    assert value("wafleet_http_requests_total", route=route, method="GET", status="404") == 1
    unknown = {"route": "unmatched", "method": "OTHER"}
    assert value("wafleet_http_requests_total", **unknown, status="404") == 1
    assert value("wafleet_http_request_seconds_count", **unknown) == 1
    [build] = [dict(labels) for name, labels in values if name == "wafleet_build_info"]
    assert build["version"] == "1.2.3"
    text = str(values)
    assert "15550100199" not in text
    assert QR_TEXT not in text


async def test_a_scrape_counts_beyond_one_page(api: Api) -> None:
    for n in range(501):
        await api.store.create_session(api.deps.workspace_id, f"s{n}", api.deps.now_ms())
    values = await scrape(api)
    labels = (("reason", "created"), ("status", "disconnected"))
    assert values["wafleet_sessions", labels] == 501
    assert (await api.get("/v1/sessions/s500")).status == 200
