"""What the API does at faults of our own, and what it writes into the log."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import pytest
from structlog.testing import capture_logs

from storage.store import SessionStatus
from tests.integration.test_api_server import KEY, Api, RecordingFleet, running_api, send_raw

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path
from tests.integration.test_api_borders import BEARER, JSON_TYPE

pytestmark = pytest.mark.integration


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        yield running


class FaultyFleet(RecordingFleet):
    """A fleet port with a bug, whose exception text is a secret."""

    def tell(self, message: object) -> bool:  # noqa: ARG002 - the port names it
        raise RuntimeError("canary-internal")

    def alive(self) -> bool:
        raise RuntimeError("canary-internal")


async def test_a_fault_of_ours_shows_its_request_id_and_nothing_else(tmp_path: Path) -> None:
    async with running_api(tmp_path, fleet=FaultyFleet()) as api:
        await api.new_session("a")
        with capture_logs() as logs:
            for path in ("/healthz", "/v1/sessions/a/start"):
                method = "GET" if path == "/healthz" else "POST"
                failed = await api.call(method, path)
                assert (failed.status, failed.code) == (500, "internal_error")
                assert b"canary" not in failed.raw
                assert b"Traceback" not in failed.raw
        failures = [entry for entry in logs if entry["event"] == "request_failed"]
        assert len(failures) == 2
        assert all(entry["exc_info"] for entry in failures)


async def test_every_request_is_logged_once_by_its_route(api: Api) -> None:
    session_id = await api.new_session("a")
    with capture_logs() as logs:
        await api.get(f"/v1/sessions/{session_id}")
        await api.call("GET", "/v1/sessions", headers={})
        await api.get("/healthz")
    served = [entry for entry in logs if entry["event"] == "request_served"]
    assert [(e["route"], e["method"], e["status"], e["log_level"]) for e in served] == [
        ("/v1/sessions/{session}", "GET", 200, "info"),
        ("/v1/sessions", "GET", 401, "info"),
        ("/healthz", "GET", 200, "debug"),
    ]
    assert all(0 <= e["seconds"] < 5 for e in served)


CANARIES: Final = {
    "key": KEY,
    "wrong key": "wsk_wrong_canary",
    "number": "15550100199",
    "body": "canary-body",
    "qr": "2@canary-qr",
    "query": "canary-query",
    "header": "canary-header",
    "name": "canary-name",
    "field": "canary-field",
}


async def test_nothing_secret_is_logged(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    # It writes statements with their values; the logging settings keep it at WARNING for that.
    caplog.set_level(logging.WARNING, logger="aiosqlite")
    secret = CANARIES
    session_id = await api.new_session(secret["name"])
    await api.set_status(session_id, SessionStatus.CONNECTED, "ready")
    api.show_qr(session_id, secret["qr"])
    one = f"/v1/sessions/{secret['name']}"
    text = {"to": secret["number"], "text": secret["body"]}
    with capture_logs() as logs:
        accepted = await api.post(f"{one}/messages", text)
        assert accepted.status == 202
        api.fleet.running = False
        await api.post(f"{one}/messages", text)
        await api.post(f"{one}/messages", {**text, secret["field"]: secret["body"]})
        await api.post(f"{one}/messages", {**text, "to": f"+{secret['number']}x"})
        await api.post(f"{one}/start")
        for path in ("", "/qr", "/qr.png", "/qr.txt", "/messages", f"?x={secret['query']}"):
            await api.get(f"{one}{path}")
        await api.get(f"{one}/messages?chat={secret['number']}")
        await api.call("GET", one, headers={"Authorization": f"Bearer {secret['wrong key']}"})
        await api.call("GET", one, headers={**BEARER, "X-Other": secret["header"]})
        await api.call("POST", one, data=b'{"' + secret["body"].encode(), headers=JSON_TYPE)
        await api.get("/metrics")
        for garbage in (
            f"GET /{secret['query']} HTTP/9.9\r\n\r\n",
            f"{secret['body']}\r\n\r\n",
            f"GET / HTTP/1.1\r\nHost: x\r\nX-Other{secret['header']}\r\n\r\n",
            f"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: {KEY}\0\r\n\r\n",
            f"GET / HTTP/1.1\r\nHost: x\r\nX-Other: {secret['header'] * 2000}\r\n\r\n",
            f"POST {one} HTTP/1.1\r\nHost: x\r\nContent-Length: {secret['body']}\r\n\r\n",
            f"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{secret['body']}\r\n",
        ):
            assert b" 400 " in (await send_raw(api, garbage.encode()))[:16]
    assert not [record for record in caplog.records if record.levelno > logging.WARNING]
    written = repr(logs) + caplog.text
    assert "BadStatusLine" in written
    assert "request_served" in written
    assert [kind for kind, value in secret.items() if value in written] == []
