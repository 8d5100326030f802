"""The application on a real socket and a real database, and the harness for the other API tests."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from actors.browser.reading import (
    CheckContact,
    ContactCheck,
    GroupView,
    Listing,
    Marked,
    MarkRead,
    MarkTyping,
    ReadGroup,
)
from actors.check_cap import CheckCap
from actors.limiter_messages import SendSlot
from actors.limiter_plan import Limit
from actors.live import LiveBoard, LiveSession, QrCode
from actors.messages import (
    Archived,
    ArchiveSession,
    Done,
    EndSession,
    OutboxChanged,
    PageRead,
    StartSession,
    ToService,
)
from actors.page_messages import ReadPage
from actors.pool_messages import PoolReport, TellPressure
from actors.pressure import Cause, Readings
from api.app import ApiDeps, build_app
from api.server import ListenFailed, serving
from storage.sqlite import open_store
from storage.store import Desired, SessionStatus, StatusChange
from storage.tenants import DEFAULT
from storage.upload_files import UploadFiles
from storage.vault import SecretBox
from supervisor.parts import instant
from tests.integration.archive_support import RING
from tests.integration.media_support import media_files

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from pathlib import Path

    from multidict import CIMultiDictProxy

    from actors.browser.reading import PageAnswer, PageQuery
    from actors.messages import Answer, FleetMessage, Reply
    from storage.store import Store

pytestmark = pytest.mark.integration

KEY: Final = "wsk_test_canary_0123456789"
UNKNOWN_ID: Final = "01J9ZS8XQ2N4B6D8F0H2K4M6P8"


class NoReply:
    """A reply port that nobody reads: the recorder answers by returning."""

    def put(self, value: object) -> None:
        raise AssertionError(value)


@dataclass
class RecordingFleet:
    """The Fleet port with a list for a mailbox; `on_ask` runs before the answer."""

    answer: Answer | Exception = field(default_factory=Done)
    running: bool = True
    messages: list[FleetMessage | OutboxChanged] = field(default_factory=list)
    on_ask: Callable[[FleetMessage], Awaitable[None]] | None = None

    def tell(self, message: FleetMessage | OutboxChanged) -> bool:
        if self.running:
            self.messages.append(message)
        return self.running

    async def ask(self, build: Callable[[Reply], FleetMessage], deadline: float) -> Answer:
        message = build(NoReply())
        self.messages.append(message)
        async with asyncio.timeout(deadline):
            if self.on_ask is not None:
                await self.on_ask(message)
        if isinstance(self.answer, Exception):
            raise self.answer
        if isinstance(message, ToService) and self.answer == Done():
            return service_answer(message.message)
        if isinstance(message, ReadPage) and self.answer == Done():
            return PageRead(value=page_answer(message.query))
        if isinstance(message, ArchiveSession) and self.answer == Done():
            return Archived(generation=7, bytes=1234, pause_seconds=0.125, seconds=1.5)
        return self.answer

    def alive(self) -> bool:
        return self.running

    @property
    def commands(self) -> list[str]:
        return [_word(message) for message in self.messages]


@dataclass
class ASecondEach:
    """A limiter's forecasts: a second for each one before, and nothing binds the first."""

    asked: list[tuple[str, int, int]] = field(default_factory=list)
    known: bool = True

    def slots(self, number: str, ahead: int, count: int) -> Sequence[SendSlot]:
        self.asked.append((number, ahead, count))
        if not self.known:
            return ()
        places = range(ahead, ahead + count)
        return [SendSlot(seconds=n, window="minute" if n else None) for n in places]


def page_answer(query: PageQuery) -> PageAnswer:
    match query:
        case CheckContact():
            return ContactCheck(exists=False)
        case ReadGroup(jid=jid):
            return GroupView(jid=jid, name=None, members=())
        case MarkRead() | MarkTyping():
            return Marked()
        case _:
            return Listing(entries=(), next=None)


def service_answer(message: object) -> Answer:
    match message:
        case TellPressure():
            return PoolReport(
                limit=50,
                in_use=3,
                slots=2,
                launching=("a",),
                waiting=("b",),
                blocked=Cause.MEMORY,
                blocked_seconds=1.5,
                readings=Readings(memory_available=5, descriptors_used=7, load=0.5),
            )
        case _:
            return Done()


def _word(message: FleetMessage | OutboxChanged) -> str:
    match message:
        case StartSession():
            return "start"
        case EndSession(kind=kind):
            return str(kind)
        case OutboxChanged():
            return "outbox"
        case ArchiveSession():
            return "archive"
        case ToService(message=passed):
            return type(passed).__name__
        case _:
            return type(message).__name__


@dataclass(frozen=True)
class Reached:
    """An answer: status, headers, raw body and, where it is JSON, the document."""

    status: int
    headers: CIMultiDictProxy[str]
    raw: bytes

    @property
    def json(self) -> dict[str, Any]:
        document = json.loads(self.raw)
        assert isinstance(document, dict)
        return document

    @property
    def code(self) -> str:
        """The problem's code; checks that the problem is complete."""
        document = self.json
        assert self.headers["Content-Type"].startswith("application/problem+json")
        assert document["status"] == self.status
        assert document["type"] == f"urn:wafleet:error:{document['code']}"
        assert document["instance"] == f"urn:wafleet:request:{self.headers['X-Request-Id']}"
        assert document["title"]
        assert document["detail"]
        return str(document["code"])

    @property
    def fields(self) -> list[str]:
        return sorted(e["field"] for e in self.json.get("errors", []))


@dataclass
class Api:
    """A running API with its parts in reach."""

    store: Store
    live: LiveBoard
    fleet: RecordingFleet
    deps: ApiDeps
    host: str
    port: int
    client: aiohttp.ClientSession
    healthy: list[bool]
    forecasts: ASecondEach

    async def call(self, method: str, path: str, **options: Any) -> Reached:
        """Send a request, with the key unless `headers` says otherwise."""
        options.setdefault("headers", {"Authorization": f"Bearer {KEY}"})
        async with self.client.request(method, path, **options) as response:
            return Reached(response.status, response.headers, await response.read())

    async def post(self, path: str, body: object = None) -> Reached:
        return (
            await self.call("POST", path, json=body)
            if body is not None
            else (await self.call("POST", path))
        )

    async def get(self, path: str) -> Reached:
        return await self.call("GET", path)

    async def new_session(self, name: str = "a", *, desired: Desired = Desired.RUNNING) -> str:
        row, _ = await self.store.create_session(self.deps.workspace_id, name, self.deps.now_ms())
        await self.store.set_desired(self.deps.workspace_id, row.id, desired, self.deps.now_ms())
        return row.id

    async def set_status(self, session_id: str, status: SessionStatus, reason: str) -> None:
        """Write a status as the session's actor would."""
        await self.store.record_status(
            StatusChange(
                session_id=session_id,
                incarnation=await self.store.next_incarnation(session_id),
                sequence=1,
                status=status,
                reason=reason,
                detail=None,
                since_ms=self.deps.now_ms(),
            )
        )

    def show_qr(self, session_id: str, text: str) -> None:
        """Put a QR code on the board as the session's actor would."""
        self.live.put(
            LiveSession(
                session_id=session_id,
                incarnation=1,
                phase="qr",
                status="qr_scanning",
                reason="qr_shown",
                since_ms=self.deps.now_ms(),
                evidence_ms=self.deps.now_ms(),
                entered=time.monotonic() - 7,
                proofs={"cdp": time.monotonic() - 3, "end": None},
                qr=QrCode(text=text, number=2, shown_ms=1_700_000_000_123),
            )
        )


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


@asynccontextmanager
async def running_api(folder: Path, **changes: Any) -> AsyncIterator[Api]:
    """Serve an application on a new database in `folder`; `changes` replace parts of ApiDeps."""
    numbers = iter(range(10_000_000))
    live, fleet, healthy, forecasts = LiveBoard(), RecordingFleet(), [True], ASecondEach()
    async with open_store(folder / "wafleet.db", busy_timeout_ms=200) as store:
        parts: dict[str, Any] = {
            "store": store,
            "live": live,
            "fleet": fleet,
            "workspace_id": (await store.workspace_named(DEFAULT)).id,
            "api_key": KEY,
            "now_ms": wall_ms,
            "new_wa_id": lambda: f"3EB0{next(numbers):018X}",
            "telemetry": CollectorRegistry(),
            "version": "1.2.3",
            "progress": lambda: healthy[0],
            "uploads": UploadFiles(data=folder, index=store, keyring=RING, now_ms=wall_ms),
            "media": media_files(folder, store),
            "checks": CheckCap(
                grants=store, limit=Limit(most=3, period_ms=3_600_000), instant=instant
            ),
            "secrets": SecretBox(RING),
            "forecasts": forecasts,
            "command_deadline": 5.0,
            "body_deadline": 5.0,
        }
        deps = ApiDeps(**{**parts, **changes})
        async with (
            serving(build_app(deps), "127.0.0.1", 0) as (host, port),
            aiohttp.ClientSession(f"http://{host}:{port}") as client,
        ):
            yield Api(store, live, fleet, deps, host, port, client, healthy, forecasts)


async def send_raw(api: Api, request: bytes) -> bytes:
    """Send bytes and return all that comes back until the server closes."""
    reader, writer = await asyncio.open_connection(api.host, api.port)
    try:
        writer.write(request)
        await writer.drain()
        return await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()
        await writer.wait_closed()


async def test_a_port_in_use_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        async with running_api(tmp_path) as api:
            app = build_app(_again(api.deps))
            with pytest.raises(ListenFailed, match=f"127.0.0.1:{port}.*choose another"):
                async with serving(app, "127.0.0.1", port):
                    pass


def _again(deps: ApiDeps) -> ApiDeps:
    names = [name for name in ApiDeps.__slots__ if name != "telemetry"]
    return ApiDeps(telemetry=CollectorRegistry(), **{name: getattr(deps, name) for name in names})


async def test_an_empty_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="key is empty"):
        async with running_api(tmp_path, api_key=" "):
            pass


async def test_the_key_is_not_in_the_repr_of_the_parts(tmp_path: Path) -> None:
    async with running_api(tmp_path) as api:
        assert KEY not in repr(api.deps)


async def test_the_socket_is_closed_afterwards(tmp_path: Path) -> None:
    async with running_api(tmp_path) as api:
        assert (await api.get("/healthz")).status == 200
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(api.host, api.port)


async def test_a_slow_body_is_given_up(tmp_path: Path) -> None:
    async with running_api(tmp_path, body_deadline=0.2) as api:
        answer = await send_raw(
            api,
            b"POST /v1/sessions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "
            + KEY.encode()
            + b"\r\n"
            b"Content-Type: application/json\r\nContent-Length: 10\r\n\r\n{",
        )
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"body_timeout" in answer


async def test_a_request_without_a_key_is_answered_before_its_body_is_read(tmp_path: Path) -> None:
    async with running_api(tmp_path) as api:
        answer = await send_raw(
            api,
            b"POST /v1/sessions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            b"Content-Type: application/json\r\nContent-Length: 10\r\n\r\n",
        )
        assert answer.startswith(b"HTTP/1.1 401 ")
