"""Broadcasts, against a server that checks signatures as Pusher's servers do."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from api.broadcast import Broadcast, BroadcastError, BroadcastRefused
from api.keys import Scope
from api.ports import Broadcasts
from api.pusher import PusherApp, PusherDriver
from storage.store import SessionStatus
from tests.integration.tenant_support import inbound
from tests.integration.test_api_server import UNKNOWN_ID, Api, running_api, wall_ms
from tests.integration.test_api_tenants import made_key, tenant
from tests.waiting import eventually_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.integration

SECRET: Final = "7ad3773142a6692b25b8"
TEXT: Final = "2@AbCdEfGh,key=,identity="


@dataclass
class PusherServer:
    """Takes what is signed rightly. `statuses` are answered first, one each; `hold` holds back."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    hold: asyncio.Event = field(default_factory=asyncio.Event)
    taken: list[dict[str, Any]] = field(default_factory=list)
    asked: int = 0

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.asked += 1
        query = dict(request.query)
        signature = query.pop("auth_signature")
        text = "&".join(f"{name}={query[name]}" for name in sorted(query))
        signed = f"POST\n{request.path}\n{text}".encode()
        expected = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
        md5 = hashlib.md5(body).hexdigest()  # noqa: S324 - the protocol's
        late = abs(time.time() - int(query["auth_timestamp"])) > 600
        if signature != expected or query["body_md5"] != md5 or late:
            return web.Response(status=401)
        await self.hold.wait()
        if self.statuses:
            return web.Response(status=self.statuses.pop(0), headers={"Location": "/elsewhere"})
        self.taken.append(json.loads(body))
        return web.json_response({})

    @property
    def names(self) -> list[str]:
        return [each["name"] for each in self.taken]

    async def has(self, count: int) -> list[dict[str, Any]]:
        """Return what was taken once there is so much of it."""

        async def enough() -> bool:
            return len(self.taken) >= count

        await eventually_async(enough)
        assert len(self.taken) == count, self.taken
        return self.taken


@asynccontextmanager
async def pusher_server() -> AsyncIterator[PusherServer]:
    server = PusherServer()
    server.hold.set()
    app = web.Application()
    app.router.add_post("/apps/shop-1/events", server.take)
    runner = web.AppRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        server.url = "http://{}:{}".format(*runner.addresses[0][:2])
        yield server
    finally:
        server.hold.set()
        await runner.cleanup()


def driver_for(server: PusherServer, *, secret: str = SECRET, timeout: float = 5.0) -> PusherDriver:
    app = PusherApp(url=server.url, app_id="shop-1", key="k1", secret=secret)
    return PusherDriver(app, timeout=timeout, now_ms=wall_ms)


@pytest.fixture
async def server() -> AsyncIterator[PusherServer]:
    async with pusher_server() as running:
        yield running


def none(low: float, high: float) -> float:
    """Let pauses be as short as they may be made."""
    assert 0 < low < high
    return 0.0


@asynccontextmanager
async def broadcasting(
    folder: Path, server: PusherServer, *, with_qr: bool = True, **options: Any
) -> AsyncIterator[Api]:
    driver = driver_for(server, **options)
    broadcasts = Broadcasts(driver=driver, with_qr=with_qr, uniform=none)
    async with running_api(folder, broadcasts=broadcasts) as api:
        yield api


# ---- what is broadcast ---------------------------------------------------------------------------


async def test_states_are_told_to_the_session_s_and_the_workspace_s_channel(
    tmp_path: Path, server: PusherServer
) -> None:
    async with broadcasting(tmp_path, server) as api:
        session = await api.new_session("a")
        await api.set_status(session, SessionStatus.CONNECTED, "ready")
        [told] = await server.has(1)
        assert told["name"] == "session.status"
        assert told["channels"] == [
            f"private-wafleet-workspace-{api.deps.workspace_id}",
            f"private-wafleet-session-{session}",
        ]
        [event] = (await api.get("/v1/events?types=session.status")).json["events"]
        assert json.loads(told["data"]) == event
        await api.store.delete_session(session, wall_ms())
        assert (await server.has(2))[1]["name"] == "session.deleted"


async def test_a_qr_code_is_told_to_its_own_channel_and_taken_back(
    tmp_path: Path, server: PusherServer
) -> None:
    async with broadcasting(tmp_path, server) as api:
        session = await api.new_session("a")
        api.show_qr(session, TEXT)
        [shown] = await server.has(1)
        assert (shown["name"], shown["channels"]) == (
            "session.qr_code",
            [f"private-wafleet-qr-{session}"],
        )
        assert json.loads(shown["data"]) == {
            "session_id": session,
            "text": TEXT,
            "number": 2,
            "shown_at": "2023-11-14T22:13:20.123Z",
        }
        api.show_qr(session, TEXT)  # the same code again is no news
        api.show_qr(session, TEXT + "2")
        assert json.loads((await server.has(2))[1]["data"])["text"] == TEXT + "2"
        api.live.drop(session, 1)
        gone = json.loads((await server.has(3))[2]["data"])
        assert gone == {"session_id": session, "text": None, "number": None, "shown_at": None}


async def test_no_message_and_nothing_else_is_told(tmp_path: Path, server: PusherServer) -> None:
    async with broadcasting(tmp_path, server, with_qr=False) as api:
        session = await api.new_session("a")
        api.show_qr(session, TEXT)
        body = {"to": "+15550100002", "text": "canary text"}
        assert (await api.post("/v1/sessions/a/messages", body)).status == 202
        await api.store.record_inbound(inbound(session, "B1", body="canary reply"))
        await api.set_status(session, SessionStatus.CONNECTED, "ready")
        [told] = await server.has(1)
        assert "canary" not in json.dumps(told)
        assert TEXT not in json.dumps(server.taken)


async def test_while_the_server_is_away_only_the_newest_waits(
    tmp_path: Path, server: PusherServer
) -> None:
    async with broadcasting(tmp_path, server) as api:
        one, other = await api.new_session("a"), await api.new_session("b")
        server.hold.clear()
        await api.set_status(one, SessionStatus.QR_SCANNING, "qr_shown")

        async def asked() -> bool:
            return server.asked == 1

        await eventually_async(asked)
        for status in (SessionStatus.AUTHENTICATED, SessionStatus.CONNECTED):
            await api.set_status(one, status, "ready")
            await api.set_status(other, status, "ready")
        api.show_qr(one, TEXT)
        api.live.drop(one, 1)
        server.statuses = [503, 429, 302]

        sample = api.deps.telemetry.get_sample_value
        older = {"name": "session.status", "result": "superseded"}

        async def told_of_all() -> bool:
            return sample("wafleet_broadcasts_total", older) == 2

        await eventually_async(told_of_all)
        with capture_logs() as logs:
            server.hold.set()
            told = await server.has(3)
        states = [json.loads(each["data"]) for each in told if each["name"] == "session.status"]
        assert {each["session_id"]: each["payload"]["status"] for each in states} == {
            one: "connected",
            other: "connected",
        }
        assert [json.loads(e["data"])["text"] for e in told if "qr" in e["name"]] == [None]
        assert len([entry for entry in logs if entry["event"] == "broadcast_failed"]) == 3
        labels = {"name": "session.status", "result": "failed"}
        assert sample("wafleet_broadcasts_total", labels) == 3


async def test_what_the_server_refuses_is_not_asked_again(
    tmp_path: Path, server: PusherServer
) -> None:
    async with broadcasting(tmp_path, server) as api:
        session = await api.new_session("a")
        server.statuses = [413]
        with capture_logs() as logs:
            await api.set_status(session, SessionStatus.CONNECTED, "ready")

            async def refused() -> bool:
                return any(entry["event"] == "broadcast_refused" for entry in logs)

            await eventually_async(refused)
        await api.set_status(session, SessionStatus.FAILED, "banned")
        [told] = await server.has(1)
        assert json.loads(told["data"])["payload"]["status"] == "failed"
        assert server.asked == 2


@pytest.mark.parametrize(
    ("statuses", "error"),
    [([500], BroadcastError), ([301], BroadcastError), ([400], BroadcastRefused)],
)
async def test_the_driver_says_whether_asking_again_helps(
    server: PusherServer, statuses: list[int], error: type[Exception]
) -> None:
    server.statuses = statuses
    broadcast = Broadcast(name="n", channels=("c",), data="{}")
    driver = driver_for(server)
    async with driver.running():
        with pytest.raises(error) as caught:
            await driver.publish(broadcast)
        assert type(caught.value) is error
        await driver.publish(broadcast)
    assert server.asked == 2


async def test_a_wrong_secret_is_refused_and_a_hanging_server_given_up(
    server: PusherServer,
) -> None:
    broadcast = Broadcast(name="n", channels=("c",), data="{}")
    wrong = driver_for(server, secret="wrong")
    async with wrong.running():
        with pytest.raises(BroadcastRefused, match="401"):
            await wrong.publish(broadcast)
    server.hold.clear()
    hasty = driver_for(server, timeout=0.1)
    async with hasty.running():
        with pytest.raises(BroadcastError, match="TimeoutError"):
            await hasty.publish(broadcast)
    gone = PusherDriver(
        PusherApp(url="http://127.0.0.1:1", app_id="a", key="k", secret="s"),
        timeout=5.0,
        now_ms=wall_ms,
    )
    async with gone.running():
        with pytest.raises(BroadcastError, match="ClientConnectorError"):
            await gone.publish(broadcast)


# ---- who may listen ------------------------------------------------------------------------------


def asking(channel: str, *, as_form: bool = True, **more: str) -> dict[str, Any]:
    values = {"socket_id": "1234.5678", "channel_name": channel, **more}
    return {"data": values} if as_form else {"json": values}


async def ask(api: Api, key: str, channel: str, **options: Any) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {key}"}
    answer = await api.call(
        "POST", "/v1/broadcasting/auth", headers=headers, **asking(channel, **options)
    )
    return answer.status, answer.json["auth"] if answer.status == 200 else answer.code


async def test_who_may_listen_to_which_channel(tmp_path: Path, server: PusherServer) -> None:
    async with broadcasting(tmp_path, server) as api:
        home, session = api.deps.workspace_id, await api.new_session("a")
        other = await tenant(api, "other")
        reader, _ = await made_key(api, home, [Scope.SESSION_READ])
        writer, _ = await made_key(api, home, [Scope.SESSION_READ, Scope.SESSION_WRITE])
        limited, _ = await made_key(api, home, [*Scope], [UNKNOWN_ID])
        blind, _ = await made_key(api, home, [Scope.MESSAGE_SEND])
        of_session = f"private-wafleet-session-{session}"
        of_qr = f"private-wafleet-qr-{session}"
        of_home = f"private-wafleet-workspace-{home}"
        signature = hmac.new(
            SECRET.encode(), f"1234.5678:{of_session}".encode(), hashlib.sha256
        ).hexdigest()
        for as_form in (True, False):
            assert await ask(api, reader, of_session, as_form=as_form) == (200, f"k1:{signature}")
        table = {
            (reader, of_home): 200,
            (reader, of_qr): (403, "scope_missing"),
            (writer, of_qr): 200,
            (writer, f"private-wafleet-qr-{UNKNOWN_ID}"): (404, "session_not_found"),
            (limited, of_home): (403, "key_limited"),
            (limited, of_session): (404, "session_not_found"),
            (limited, of_qr): (404, "session_not_found"),
            (blind, of_session): (403, "scope_missing"),
            (other.key, of_home): (404, "channel_not_found"),
            (other.key, of_session): (404, "session_not_found"),
            (other.key, f"private-wafleet-session-{other.session}"): 200,
            (reader, "private-elsewhere"): (404, "channel_not_found"),
            (reader, "x" * 165): (422, "fields_invalid"),
        }
        for (key, channel), expected in table.items():
            status, told = await ask(api, key, channel)
            assert (status if expected == 200 else (status, told)) == expected, channel


@pytest.mark.parametrize("socket_id", ["", "1", "1.2:private-x", "1.2\n", "a.b", "1" * 30 + ".1"])
async def test_a_socket_id_is_two_numbers_and_nothing_else(
    tmp_path: Path, server: PusherServer, socket_id: str
) -> None:
    """What is signed is `socket_id:channel`: nothing else may get into it."""
    async with broadcasting(tmp_path, server) as api:
        session = await api.new_session("a")
        key, _ = await made_key(api, api.deps.workspace_id)
        channel = f"private-wafleet-session-{session}"
        asked = await ask(api, key, channel, socket_id=socket_id)
        assert asked == (422, "fields_invalid")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"socket_id=1.1&socket_id=1.2&channel_name=x", "body_invalid"),
        (b"socket_id=1.1&channel_name=%ff", "body_invalid"),
        (b"socket_id=1.1&channel_name", "body_invalid"),
        (b"\xff=1", "body_invalid"),
        (b"socket_id=1.1&channel_name=x&more=1", "fields_invalid"),
        (b"", "fields_invalid"),
    ],
)
async def test_forms_are_read_strictly(
    tmp_path: Path, server: PusherServer, data: bytes, code: str
) -> None:
    async with broadcasting(tmp_path, server) as api:
        key, _ = await made_key(api, api.deps.workspace_id)
        headers = {
            "Authorization": f"Bearer {key}",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        answer = await api.call("POST", "/v1/broadcasting/auth", data=data, headers=headers)
        assert answer.code == code


async def test_without_a_driver_nobody_may_listen(tmp_path: Path) -> None:
    async with running_api(tmp_path) as api:
        session = await api.new_session("a")
        key, _ = await made_key(api, api.deps.workspace_id)
        channel = f"private-wafleet-session-{session}"
        assert await ask(api, key, channel) == (409, "broadcast_off")


async def test_who_was_admitted_is_noted(tmp_path: Path, server: PusherServer) -> None:
    async with broadcasting(tmp_path, server) as api:
        session = await api.new_session("a")
        key, key_id = await made_key(api, api.deps.workspace_id)
        await ask(api, key, f"private-wafleet-qr-{session}")

        async def noted() -> Any:
            entries = (await api.get("/v1/audit")).json["entries"]
            return [e for e in entries if e["action"] == "broadcast.subscribe"]

        [entry] = await eventually_async(noted)
        assert (entry["key"], entry["session_id"]) == (key_id, session)
        assert (entry["result"], entry["detail"]) == ("done", {"channel": "qr"})
