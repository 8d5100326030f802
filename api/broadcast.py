"""Broadcasts: session states and QR codes for front ends in browsers, never a message.

States come from the event log by the feed, QR codes from the live board. Of each session only the
newest of either waits to be sent: a server that is down for an hour gets what is true then, and no
more than that ever waits. Front ends read the state when they begin and are told of changes; it is
the API that they must believe.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, Protocol

import structlog

from api.channels import Channel, channel_name
from api.feed import Wanted
from api.times import rfc3339
from storage.events import EventType

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from actors.live import LiveBoard, QrCode
    from api.feed import Feed, Told
    from api.metrics_streams import BroadcastMetrics

log = structlog.get_logger(__name__)

QR_CODE: Final = "session.qr_code"
"""The name of the one broadcast that is no event of the log."""
_TOLD: Final = frozenset({EventType.SESSION_STATUS, EventType.SESSION_DELETED})
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 30.0
_IDLE: Final = 3600.0


class BroadcastError(Exception):
    """The server was not reached or failed; the same is tried again."""

    code: ClassVar[str] = "broadcast_failed"


class BroadcastRefused(BroadcastError):  # noqa: N818 - reads as what happened
    """The server understood, and refuses: it would refuse the same again."""

    code = "broadcast_refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Broadcast:
    """One message to some channels; `data` is JSON."""

    name: str
    channels: tuple[str, ...]
    data: str


class BroadcastDriver(Protocol):
    """A server that browsers listen to."""

    def running(self) -> AbstractAsyncContextManager[None]:
        """Hold what sending needs while the block runs."""
        ...

    async def publish(self, broadcast: Broadcast) -> None:
        """Hand it to the server. Raises BroadcastError, BroadcastRefused."""
        ...

    def admission(self, socket_id: str, channel: str) -> str:
        """Return what lets this connection of a browser listen to this channel."""
        ...


class Broadcaster:
    """Used on the main loop; `running` keeps it going."""

    def __init__(
        self,
        *,
        driver: BroadcastDriver,
        feed: Feed,
        board: LiveBoard,
        metrics: BroadcastMetrics,
        with_qr: bool,
        uniform: Callable[[float, float], float],
    ) -> None:
        self._driver = driver
        self._feed = feed
        self._board = board
        self._metrics = metrics
        self._with_qr = with_qr
        self._uniform = uniform
        self._waiting: dict[tuple[str, str], Broadcast] = {}
        self._woken = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Broadcast while the block runs; what waits at its end is dropped."""
        loop = asyncio.get_running_loop()

        def changed(session_id: str, qr: QrCode | None) -> None:  # on an actor's thread
            loop.call_soon_threadsafe(self._qr_changed, session_id, qr)

        async with self._driver.running():
            if self._with_qr:
                self._board.listen(changed)
            tasks = {asyncio.create_task(self._follow()), asyncio.create_task(self._send())}
            try:
                yield
            finally:
                self._board.unlisten(changed)
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)

    # ---- what is told ----------------------------------------------------------------------------

    async def _follow(self) -> None:
        while True:
            subscription = self._feed.subscribe(Wanted(types=_TOLD))
            subscription.open()
            try:
                while subscription.end is None:
                    for told in subscription.take():
                        self._state_changed(told)
                    await subscription.wait(_IDLE)
            finally:
                self._feed.leave(subscription)
            if self._feed.closed:
                return

    def _state_changed(self, told: Told) -> None:
        session_id = str(told.row.session_id)
        channels = (
            channel_name(Channel.WORKSPACE, told.row.workspace_id),
            channel_name(Channel.SESSION, session_id),
        )
        self._put(
            ("state", session_id),
            Broadcast(name=told.row.type, channels=channels, data=told.json),
        )

    def _qr_changed(self, session_id: str, qr: QrCode | None) -> None:
        data = {
            "session_id": session_id,
            "text": None if qr is None else qr.text,
            "number": None if qr is None else qr.number,
            "shown_at": None if qr is None else rfc3339(qr.shown_ms),
        }
        channels = (channel_name(Channel.QR, session_id),)
        self._put(
            ("qr", session_id),
            Broadcast(name=QR_CODE, channels=channels, data=json.dumps(data)),
        )

    def _put(self, key: tuple[str, str], broadcast: Broadcast) -> None:
        older = self._waiting.get(key)
        if older is not None:
            self._count(older, "superseded")
        self._waiting[key] = broadcast
        self._woken.set()

    # ---- sending it ------------------------------------------------------------------------------

    async def _send(self) -> None:
        pause = 0.0
        while True:
            await self._woken.wait()
            if not self._waiting:
                self._woken.clear()
                continue
            key = next(iter(self._waiting))
            broadcast = self._waiting.pop(key)
            if await self._sent(broadcast):
                pause = 0.0
                continue
            self._waiting = {key: broadcast, **self._waiting}  # what came meanwhile is newer
            pause = min(max(_FIRST_PAUSE, pause * 2), _LONGEST_PAUSE)
            await asyncio.sleep(self._uniform(pause / 2, pause))

    async def _sent(self, broadcast: Broadcast) -> bool:
        """Publish it; False if it is to be tried again."""
        try:
            await self._driver.publish(broadcast)
        except BroadcastRefused as error:
            self._count(broadcast, "refused")
            log.error("broadcast_refused", what=broadcast.name, code=error.code, detail=str(error))  # noqa: TRY400
            return True
        except BroadcastError as error:
            self._count(broadcast, "failed")
            log.warning("broadcast_failed", what=broadcast.name, code=error.code, detail=str(error))
            return False
        except Exception:  # whatever it is, it must not silence all later ones
            self._count(broadcast, "refused")
            log.exception("broadcast_crashed", what=broadcast.name)
            return True
        self._count(broadcast, "sent")
        return True

    def _count(self, broadcast: Broadcast, result: str) -> None:
        self._metrics.published.labels(name=broadcast.name, result=result).inc()
