"""A real endpoint for webhooks on loopback, and a desk that delivers to it from a real store."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web
from standardwebhooks import Webhook

from actors.net_guard import NetRules
from actors.telemetry import Telemetry
from actors.webhook_desk import WebhookDesk
from actors.webhook_plan import RetryRules
from actors.webhook_sender import WebhookSender
from actors.webhook_worker import WebhookDeps
from api.webhook_body import delivery_body
from api.webhooks import new_secret
from storage.events import EventType
from storage.sqlite import open_store
from storage.vault import SecretBox
from storage.webhooks import NewWebhook, WebhookChange, WebhookRecord, secret_context
from supervisor.keeper import keeping
from tests.integration.archive_support import RING
from tests.integration.tenant_support import home_of
from tests.waiting import eventually_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from pathlib import Path

    from storage.sqlite import SqliteStore
    from storage.webhooks import Disabled

LOOPBACK = NetRules(private=(ipaddress.IPv4Network("127.0.0.0/8"),))
QUICK = RetryRules(
    pauses=(0.03, 0.06, 0.12, 0.24),
    failures=5,
    first_pause=0.05,
    longest_pause=0.2,
    patience=3600.0,
)
BOX = SecretBox(RING)


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


def uniform(low: float, high: float) -> float:
    return (low + high) / 2


@dataclass(frozen=True)
class Got:
    """One request as it arrived."""

    headers: dict[str, str]
    raw: bytes
    at: float

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def body(self) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(self.raw)
        return body

    def is_signed_with(self, secret: str) -> bool:
        """Ask the library that receivers use."""
        try:
            Webhook(secret).verify(self.raw, self.headers, json_parse=False)
        except Exception:  # noqa: BLE001 - the library's one error is what is asked for
            return False
        return True


@dataclass
class Endpoint:
    """What a customer runs; `answers` decides on each request, 204 by default."""

    answer: Callable[[Got], Awaitable[web.StreamResponse]]
    url: str = ""
    got: list[Got] = field(default_factory=list)
    taken: list[Got] = field(default_factory=list)
    busy: int = 0
    busiest: int = 0

    async def take(self, request: web.Request) -> web.StreamResponse:
        got = Got(dict(request.headers), await request.read(), time.monotonic())
        got.headers.update({name.lower(): value for name, value in request.headers.items()})
        self.got.append(got)
        self.busy += 1
        self.busiest = max(self.busiest, self.busy)
        try:
            response = await self.answer(got)
        finally:
            self.busy -= 1
        if 200 <= response.status < 300:
            self.taken.append(got)
        return response

    def ids(self, session_id: str | None = None) -> list[str]:
        """Return the ids of what was taken, in order of arrival; of one session or of all."""
        every = session_id is None
        return [g.id for g in self.taken if every or g.body["session_id"] == session_id]


async def fine(_: Got) -> web.StreamResponse:
    return web.Response(status=204)


@asynccontextmanager
async def endpoint(
    answer: Callable[[Got], Awaitable[web.StreamResponse]] = fine, port: int = 0
) -> AsyncIterator[Endpoint]:
    place = Endpoint(answer)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", place.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    place.url = f"http://127.0.0.1:{runner.addresses[0][1]}/in"
    try:
        yield place
    finally:
        await runner.cleanup()


@dataclass
class World:
    """A store with sessions, and what delivers; `desk` runs while `delivering` does."""

    store: SqliteStore
    home: str
    telemetry: Telemetry
    rules: RetryRules = QUICK
    net: NetRules = LOOPBACK
    timeout: float = 5.0
    secrets: dict[str, str] = field(default_factory=dict)
    desk: WebhookDesk | None = None

    async def session(self, name: str) -> str:
        row, _ = await self.store.create_session(self.home, name, wall_ms())
        return row.id

    async def webhook(self, url: str, **more: Any) -> WebhookRecord:
        secret = new_secret()
        parts: dict[str, Any] = {
            "session_id": None,
            "description": "",
            "events": frozenset(),
            "messages": True,
            "url": url,
            "seal": lambda key: BOX.seal(secret.encode(), secret_context(key)),
            **more,
        }
        record = await self.store.create_webhook(self.home, NewWebhook(**parts), wall_ms())
        self.secrets[record.id] = secret
        if self.desk is not None:
            self.desk.changed()
        return record

    async def change(self, webhook: WebhookRecord, **what: Any) -> WebhookRecord:
        changed = await self.store.change_webhook(
            self.home, webhook.id, WebhookChange(**what), wall_ms()
        )
        if self.desk is not None:
            self.desk.changed()
        return changed

    async def happen(self, session_id: str, count: int = 1) -> list[str]:
        """Let events happen to a session; return their ids."""
        before = await self.store.newest_event()
        for number in range(count):
            await self.store.record_event(
                session_id, EventType.SESSION_HEALTH, {"action": "lost", "n": number}, wall_ms()
            )
        rows = await self.store.events(self.home, after=before, limit=count)
        return [row.id for row in rows]

    async def disabled(self, webhook: WebhookRecord, why: Disabled) -> None:
        """Wait until the webhook is disabled for this reason."""

        async def look() -> bool:
            return (await self.record(webhook)).disabled is why

        await eventually_async(look)

    async def record(self, webhook: WebhookRecord) -> WebhookRecord:
        return await self.store.webhook(self.home, webhook.id)

    async def waiting(self, webhook: WebhookRecord) -> int:
        return len(await self.store.lane_heads(webhook.id))

    async def settled(self, webhook: WebhookRecord) -> None:
        """Wait until the webhook has come to the end of the log and nothing waits."""

        async def look() -> bool:
            now = await self.record(webhook)
            return now.place == await self.store.newest_event() and not await self.waiting(webhook)

        await eventually_async(look)

    async def tried(self, webhook: WebhookRecord, code: str, least: int) -> None:
        """Wait until so many attempts have ended so."""

        async def look() -> bool:
            attempts = await self.attempts(webhook)
            return sum(found == code for _, _, found in attempts) >= least

        await eventually_async(look)

    async def attempts(self, webhook: WebhookRecord) -> Sequence[tuple[str, bool, str]]:
        rows = await self.store.webhook_attempts(self.home, webhook.id, limit=1000)
        return [(r.attempt.event_id, r.attempt.failed, r.attempt.code) for r in rows][::-1]

    @asynccontextmanager
    async def delivering(self) -> AsyncIterator[WebhookDesk]:
        sender = WebhookSender(
            rules=self.net, timeout=self.timeout, agent="wafleet/test", now_ms=wall_ms
        )
        self.desk = WebhookDesk(
            WebhookDeps(
                store=self.store,
                sender=sender,
                secrets=BOX,
                render=delivery_body,
                rules=self.rules,
                telemetry=self.telemetry.webhooks,
                now_ms=wall_ms,
                monotonic=time.monotonic,
                uniform=uniform,
            )
        )
        try:
            async with keeping(self.desk):
                yield self.desk
        finally:
            self.desk = None
            await sender.close()


@asynccontextmanager
async def world(folder: Path, **more: Any) -> AsyncIterator[World]:
    async with open_store(folder / "wafleet.db") as store:
        yield World(store, await home_of(store), Telemetry(), **more)


async def hang(_: Got) -> web.StreamResponse:
    """Never answer, until the server ends."""
    with suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    return web.Response(status=500)
