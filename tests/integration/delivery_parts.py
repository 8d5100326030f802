"""The parts of the paper world: a page, mailboxes, and bridges that only a test turns."""

from __future__ import annotations

import asyncio
import heapq
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import pykka

from actors.base import tell
from actors.bridge import Bridge, Timer, _outcome, _succeeded
from actors.browser.driver import (
    CallTimedOut,
    ConnectionLost,
    Outgoing,
    PageRefused,
    SendResult,
)

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable

    from tests.integration.delivery_world import World


READS: Final = frozenset({"due", "unknown_messages"})


@dataclass(frozen=True)
class Arrival:
    """A message at WhatsApp's server."""

    at_ms: int
    chat: str
    wa_id: str
    text: str


@dataclass
class Kept:
    """What WhatsApp Web keeps of an own message in its profile."""

    chat: str
    text: str
    ack: int


class Page:
    """WhatsApp Web on a profile. `fault` is what befalls the next hand-over.

    never: it dies before; local: when it has stored it; wire: when the server has it; answer: after
    the ack; silent, unconfirmed: the ack does not come; refused: it was not connected.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self.alive = True
        for kept_id, kept in world.profile.items():
            if kept.ack == 0 and not world.deaf:  # WhatsApp Web goes on by itself
                world.arrive(kept.chat, kept_id, kept.text)
                kept.ack = 1

    async def send(self, message: Outgoing, *, again: bool = False) -> SendResult:
        """Hand it over, unless it is known."""
        self._require()
        world = self._world
        known = world.profile.get(message.wa_id)
        if known is None:
            if message.wa_id in world.handed and not again:
                world.wrong.append("handed over before, and the page was not told to look")
            return self._take(message)
        if known.ack == 0:
            raise CallTimedOut("no ack")
        return SendResult(wa_id=message.wa_id, ack=known.ack)

    def _take(self, message: Outgoing) -> SendResult:
        world = self._world
        fault, world.fault = world.fault, None
        if fault == "refused":
            raise PageRefused("not_connected", "not connected")
        world.hand_over(message)
        if fault == "never":
            self._die()
        kept = world.profile[message.wa_id] = Kept(message.chat, message.body, 0)
        if fault == "local":
            self._die()
        world.arrive(message.chat, message.wa_id, message.body)
        if fault == "wire":
            self._die()
        if fault == "silent":
            raise CallTimedOut("no ack")
        if fault == "unconfirmed":
            raise PageRefused("send_unconfirmed", "no ack")
        kept.ack = 1
        if fault == "answer":
            self._die()
        return SendResult(wa_id=message.wa_id, ack=1)

    async def lookup_ack(self, *, chat: str, wa_id: str) -> int | None:
        self._require()
        known = self._world.profile.get(wa_id)
        return known.ack if known is not None and known.chat == chat else None

    def _die(self) -> None:
        self.alive = False
        raise ConnectionLost("the browser died")

    def _require(self) -> None:
        if not self.alive:
            raise ConnectionLost("the browser is gone")


class Mailbox:
    """Stands for a reference to an actor: what it is told waits."""

    def __init__(self, world: World, handle: Callable[[Any], None]) -> None:
        self._world = world
        self._handle = handle
        self.dead = False

    def tell(self, message: Any) -> None:
        if self.dead:
            raise pykka.ActorDeadError("dead")
        self._world.mail.append(partial(self._receive, message))

    def _receive(self, message: Any) -> None:
        if not self.dead:
            self._handle(message)


class Pump(Bridge):
    """A bridge whose calls wait in a queue, and whose timers go by the world's clock."""

    def __init__(self, world: World, queue: deque[Callable[[], None]]) -> None:
        super().__init__(world.loop, "pump")
        self._world = world
        self._queue = queue

    def call(self, work: Any, *, reply_to: Any, call_id: int, heard: Any = None, **_: Any) -> None:
        # What is read does not wait for what is being written.
        reads = isinstance(work, partial) and work.func.__name__ in READS
        queue = self._world.reads if reads else self._queue
        queue.append(partial(self._carry_out, work, reply_to, call_id, heard))

    def _carry_out(self, work: Any, reply_to: Any, call_id: int, heard: Any) -> None:
        task = self._world.loop.create_task(work())
        self._world.run(asyncio.wait({task}))
        if heard is None or not _succeeded(task) or heard():
            tell(reply_to, _outcome(call_id, task))

    def after(self, seconds: float, reply_to: Any, message: object) -> Timer:
        timer = Timer(self._world.loop)
        due = self._world.now_ms + round(seconds * 1000)
        entry = (due, next(self._world.numbers), timer, reply_to, message)
        heapq.heappush(self._world.timers, entry)
        return timer
