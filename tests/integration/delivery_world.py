"""Deliveries step by step: the real courier, limiter and store on a clock and a WhatsApp of paper.

Every call and every message waits until it is told to happen, so that a crash can come between any
two of them. A supervisor that is killed forgets what was waiting; what was committed stays.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import tempfile
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, cast

from actors.base import tell
from actors.calls import Calls
from actors.caps import Caps
from actors.courier import Courier
from actors.delivery import DeliveryRules
from actors.limiter_door import LimiterDoor
from actors.limiter_plan import MARGIN_MS, Instant, Limit
from actors.messages import OutboxChanged, Outcome, SendAnswered, TimerFired
from actors.outbox_bells import OutboxBells
from actors.outgoing import OutgoingDesk
from actors.recorder import Recorder
from actors.send_desk import SendDesk
from actors.telemetry import Telemetry
from storage.messages import MessageRow, MessageState, NewOutbound, Priority
from storage.sqlite import open_store
from storage.tenants import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from actors.browser.driver import (
        Outgoing,
    )
    from storage.sqlite import SqliteStore
from tests.integration.delivery_parts import Arrival, Kept, Mailbox, Page, Pump

BEGAN: Final = 1_800_000_000_000
NUMBER: Final = "15550100001"
MINUTE: Final = 60_000
HOUR: Final = 3_600_000
CAPS: Final = Caps(
    minute=Limit(most=3, period_ms=MINUTE + MARGIN_MS),
    hour=Limit(most=12, period_ms=HOUR + MARGIN_MS),
    day=Limit(most=60, period_ms=24 * HOUR + MARGIN_MS),
)
REASON: Final = "supervisor_died"


class Session:
    """One life of a session's actor, as far as its courier goes."""

    def __init__(self, world: World, incarnation: int) -> None:
        self.world = world
        self.child_id = world.session_id
        self.incarnation = incarnation
        self.box = Mailbox(world, self._handle)
        self.page: Page | None = None
        self._calls = Calls(self.actor_ref)
        self.recorder = Recorder(self._calls, world.main, self.child_id, self._arm)
        self.courier = Courier(
            owner=self, calls=self._calls, deps=world.deps, recorder=self.recorder
        )

    @property
    def actor_ref(self) -> Any:
        return self.box

    def own_number(self) -> str | None:
        return NUMBER

    def sending_failed(self, cause: str, detail: str) -> None:
        assert detail
        self.world.repairs.append(cause)
        self.world.repaired += 1

    def connect(self) -> None:
        self.page = Page(self.world)
        self.courier.start(cast("Any", self.page))

    def _arm(self, seconds: float) -> None:
        self.world.main.after(seconds, self.box, TimerFired(name="recorder", number=0))

    def _handle(self, message: Any) -> None:
        match message:
            case Outcome():
                self._calls.settle(message)
            case SendAnswered() | OutboxChanged():
                self.courier.handle(message)
            case TimerFired(name="recorder"):
                self.recorder.retry()
            case TimerFired():
                self.courier.timer_fired(message)


@contextmanager
def paper_world(rules: DeliveryRules | None = None) -> Iterator[World]:
    """A world on a store of its own."""
    loop = asyncio.new_event_loop()
    with tempfile.TemporaryDirectory() as directory:
        opened = open_store(Path(directory) / "wafleet.db")
        store = loop.run_until_complete(opened.__aenter__())
        try:
            yield World(store, loop, rules or DeliveryRules())
        finally:
            loop.run_until_complete(opened.__aexit__(None, None, None))
            loop.close()


@dataclass
class World:
    """One number with one session, from accept to the server."""

    store: SqliteStore
    loop: asyncio.AbstractEventLoop
    rules: DeliveryRules = field(default_factory=DeliveryRules)
    now_ms: int = BEGAN
    mail: deque[Callable[[], None]] = field(default_factory=deque)
    reads: deque[Callable[[], None]] = field(default_factory=deque)
    main_calls: deque[Callable[[], None]] = field(default_factory=deque)
    page_calls: deque[Callable[[], None]] = field(default_factory=deque)
    timers: list[Any] = field(default_factory=list)
    numbers: Any = field(default_factory=itertools.count)
    profile: dict[str, Kept] = field(default_factory=dict)
    archive: tuple[int, dict[str, Kept]] | None = None
    wire: list[Arrival] = field(default_factory=list)
    handed: dict[str, list[int]] = field(default_factory=dict)
    accepted: list[MessageRow] = field(default_factory=list)
    repairs: list[str] = field(default_factory=list)
    repaired: int = 0
    wrong: list[str] = field(default_factory=list)
    fault: str | None = None
    deaf: bool = False

    def __post_init__(self) -> None:
        self.main = Pump(self, self.main_calls)
        self.browsers = Pump(self, self.page_calls)
        self.workspace_id = self.run(self.store.workspace_named(DEFAULT)).id
        made = self.run(self.store.create_session(self.workspace_id, "sales", self.now_ms))
        self.session_id = made[0].id
        self.deps: Any = SimpleNamespace(
            main=self.main,
            browsers=self.browsers,
            store=self.store,
            grants=self.store,
            caps=CAPS,
            telemetry=Telemetry(),
            delivery=self.rules,
            bells=OutboxBells(),
            outgoing=OutgoingDesk(
                store=self.store,
                index=self.store,
                uploads=cast("Any", None),  # only texts are sent here
                paths=cast("Any", None),
            ),
            timeouts=SimpleNamespace(send=60.0, call=30.0),
            now_ms=lambda: self.now_ms,
            monotonic=lambda: self.now_ms / 1000,
            instant=lambda: Instant(
                boot_id="boot", boot_ms=self.now_ms - BEGAN + HOUR, wall_ms=self.now_ms
            ),
        )
        self.boot()

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    # ---- the outer world -------------------------------------------------------------------------

    def accept(
        self,
        chat: str,
        *,
        priority: Priority = Priority.CONVERSATION,
        send_in: int | None = None,
        expires_in: int | None = None,
    ) -> MessageRow:
        number = len(self.accepted)
        new = NewOutbound(
            session_id=self.session_id,
            chat=chat,
            wa_id=f"3EB0{number:018X}",
            body=f"text {number}",
            now_ms=self.now_ms,
            priority=priority,
            send_at_ms=None if send_in is None else self.now_ms + send_in,
            expires_ms=None if expires_in is None else self.now_ms + expires_in,
        )
        row: MessageRow = self.run(self.store.accept_message(self.workspace_id, new))
        self.accepted.append(row)
        self.deps.bells.ring(OutboxChanged(session_id=self.session_id))
        return row

    def hand_over(self, message: Outgoing) -> None:
        self.handed.setdefault(message.wa_id, []).append(self.now_ms)

    def arrive(self, chat: str, wa_id: str, text: str) -> None:
        self.wire.append(Arrival(self.now_ms, chat, wa_id, text))

    def visible(self) -> list[Arrival]:
        """Return what the recipients see: a second message with an id is none."""
        first: dict[tuple[str, str], Arrival] = {}
        for arrival in self.wire:
            first.setdefault((arrival.chat, arrival.wa_id), arrival)
        return list(first.values())

    def row(self, message: MessageRow) -> MessageRow:
        found: MessageRow = self.run(
            self.store.message(self.workspace_id, self.session_id, message.id)
        )
        return found

    # ---- lives -----------------------------------------------------------------------------------

    def boot(self) -> None:
        """A supervisor starts: what the last one left is in doubt; then the session starts."""
        self.run(self.store.settle_after_boot(REASON, (), self.now_ms))
        self.deps.limiter = LimiterDoor()
        self.deps.book = self.deps.limiter.book
        limiter: Any = Mailbox(self, self._handle_limit)
        self.limiter, self._calls = limiter, Calls(limiter)
        self._desk = SendDesk(ref=limiter, calls=self._calls, deps=self.deps)
        self._desk.loaded(self.run(self._desk.read()))
        self.deps.limiter.open(limiter)
        self.begin()

    def _handle_limit(self, message: Any) -> None:
        match message:
            case Outcome():
                self._calls.settle(message)
            case TimerFired():
                self._desk.timer_fired()
            case _:
                self._desk.handle(message)

    def begin(self) -> None:
        """A life of the session starts, up to connected."""
        self.run(self.store.doubt_sending(self.session_id, self.now_ms))
        incarnation = self.run(self.store.next_incarnation(self.session_id))
        self.session = Session(self, incarnation)
        self.session.connect()

    def kill_supervisor(self, *, restore: bool = False) -> None:
        """Everything that waits is gone, and the browser with it."""
        for queue in (self.mail, self.reads, self.main_calls, self.page_calls):
            queue.clear()
        self.timers.clear()
        if restore:
            self.roll_back()
        self.boot()

    def kill_browser(self, *, restore: bool = False) -> None:
        """The browser dies; the session's life ends in good order, and the next one begins."""
        if self.session.page is not None:
            self.session.page.alive = False
        self.session.courier.halt()
        self.session.courier.abandon()
        self.drain()
        self.session.courier.release()
        self.session.box.dead = True
        self.drain()
        if restore:
            self.roll_back()
        self.begin()

    def reload(self) -> None:
        """The page is loaded anew; the session's life goes on."""
        self.repairs.clear()
        self.session.courier.halt()
        self.session.connect()

    def keep_archive(self) -> None:
        copy = {key: Kept(k.chat, k.text, k.ack) for key, k in self.profile.items()}
        self.archive = (self.now_ms, copy)

    def roll_back(self) -> None:
        """The profile was lost, and is what it was when it was archived."""
        if self.archive is not None:
            at_ms, copy = self.archive
            self.profile = {key: Kept(k.chat, k.text, k.ack) for key, k in copy.items()}
            self.run(self.store.record_restored(self.session_id, at_ms, self.now_ms))

    # ---- steps -----------------------------------------------------------------------------------

    @property
    def waiting(self) -> list[deque[Callable[[], None]]]:
        queues = (self.mail, self.reads, self.main_calls, self.page_calls)
        return [queue for queue in queues if queue]

    def step(self, choice: int = 0) -> bool:
        """Let one thing happen; False if nothing waits."""
        queues = self.waiting
        if queues:
            queues[choice % len(queues)].popleft()()
        return bool(queues)

    def drain(self) -> None:
        """Let everything happen that waits, but no time pass."""
        for _ in range(10_000):
            if not self.step():
                return
        raise AssertionError("it never rests")

    def pass_time(self, ms: int) -> None:
        """Let time pass, and the timers of that time run out."""
        self.now_ms += ms
        while self.timers and self.timers[0][0] <= self.now_ms:
            _, _, timer, reply_to, message = heapq.heappop(self.timers)
            if not timer._cancelled:
                tell(reply_to, message)

    def mend(self) -> None:
        """What the rest of a session does: begin again after a death, load a sick page anew."""
        page = self.session.page
        if page is not None and not page.alive:
            self.kill_browser()
        elif self.repairs:
            self.reload()

    def settle(self, most_ms: int = 3 * 24 * HOUR) -> None:
        """Let everything end well: no more faults, and as much time as is needed."""
        self.fault, self.deaf = None, False
        end = self.now_ms + most_ms
        while True:
            self.drain()
            self.run(self.store.expire_messages(self.now_ms))
            if self.repairs or (self.session.page is not None and not self.session.page.alive):
                self.mend()
                continue
            live = [entry[0] for entry in self.timers if not entry[2]._cancelled]
            if not live or self.now_ms > end:
                return
            self.pass_time(max(1, min(live) - self.now_ms))

    # ---- judgement -------------------------------------------------------------------------------

    def states(self) -> list[MessageState]:
        return [self.row(row).state for row in self.accepted]

    def check(self) -> None:
        """Raise AssertionError for what must never be, at any moment."""
        assert not self.wrong
        texts = [arrival.text for arrival in self.visible()]
        assert len(texts) == len(set(texts)), "somebody saw a message twice"
        self._check_order()
        times = sorted(time for each in self.handed.values() for time in each)
        for most, period in ((3, MINUTE), (12, HOUR), (60, 24 * HOUR)):
            for first, last in zip(times, times[most:], strict=False):
                assert last - first >= period, f"more than {most} within {period} ms"
        for row in self.accepted:
            for time in self.handed.get(row.wa_id, ()):
                assert row.send_at_ms is None or time >= row.send_at_ms, "sent too early"
                assert row.expires_ms is None or time < row.expires_ms, "sent too late"

    def _check_order(self) -> None:
        places = {row.wa_id: place for place, row in enumerate(self.accepted)}
        at_once = {row.wa_id for row in self.accepted if row.send_at_ms is None}
        last: dict[str, int] = {}
        for arrival in self.visible():
            if arrival.wa_id in at_once:
                place = places[arrival.wa_id]
                assert place > last.get(arrival.chat, -1), "a message overtook another one"
                last[arrival.chat] = place

    def check_ends(self) -> None:
        """Raise AssertionError for what must not be once all has settled."""
        arrived = {arrival.wa_id for arrival in self.visible()}
        doubtful = set()
        for before in self.accepted:
            row = self.row(before)
            match row.state:
                case MessageState.SENT:
                    assert row.wa_id in arrived, "called sent, and nobody has it"
                case MessageState.EXPIRED:
                    assert row.wa_id not in arrived, "called expired, and somebody has it"
                case MessageState.UNKNOWN:
                    assert row.error_code in {"attempts_exhausted", "expired", "parked"}
                    doubtful.add(row.chat)
                case MessageState.ACCEPTED:
                    assert row.chat in doubtful, "it waits for nothing"
                case state:
                    raise AssertionError(f"left {state}")
