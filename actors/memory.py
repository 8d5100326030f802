"""The memory actor: samples what every browser takes, and has too much of it given back.

What is done is decided in actors.memory_plan; the sessions and the root do it. It has nothing to
lose in a crash: memory and age of a browser are in /proc, who runs is on the live board.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, assert_never

import structlog

from actors import memory_plan as planner
from actors.browser.footprint import Shares, footprints
from actors.browser.machine import Memory, memory
from actors.calls import Calls
from actors.care_messages import CollectGarbage, KillBrowser
from actors.memory_events import (
    Collect,
    CollectionOver,
    Kill,
    LookSoon,
    Plan,
    RecycleAccepted,
    RecycleRefused,
    Restart,
    Sampled,
    Tell,
    Use,
)
from actors.messages import (
    Begin,
    Outcome,
    RecycleSession,
    Refused,
    TimerFired,
    ToSession,
)
from actors.recorder import Recorder
from actors.service import MailReply, ServiceActor
from actors.service_messages import CollectionEnded, MemoryMessage, RecycleAnswered
from storage.events import EventType
from storage.store import SessionNotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from actors.bridge import Bridge, Timer
    from actors.live import LiveBoard, LiveSession
    from actors.memory_events import MemoryAction, MemoryEvent, MemoryRules
    from actors.telemetry import Telemetry
    from actors.usage import Footprint, UsageBoard
    from storage.store import Store

log = structlog.get_logger(__name__)

SAMPLE_DEADLINE: Final = 60.0
MB: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryDeps:
    """What the memory actor is given; a sample begins `interval` s after the end of the last one.

    `budget` is what all browsers may take together, in bytes; None is what the system allows.
    """

    main: Bridge
    store: Store
    board: LiveBoard
    usage: UsageBoard
    telemetry: Telemetry
    rules: MemoryRules
    interval: float
    budget: int | None
    now_ms: Callable[[], int]
    monotonic: Callable[[], float]
    uniform: Callable[[float, float], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One sample: what runs and what it takes, and the memory that there is."""

    browsers: Mapping[str, tuple[LiveSession, Footprint]]
    memory: Memory
    seconds: float


class MemoryActor(ServiceActor):
    """The service MEMORY."""

    def __init__(self, *, deps: MemoryDeps, **child: Any) -> None:
        super().__init__(**child)
        self._deps = deps
        self._calls = Calls(self.actor_ref)
        self._shares = Shares()
        self._recorder = Recorder(
            self._calls, deps.main, self.child_id, partial(self._arm_once, "recorder")
        )
        self._plan = Plan()
        self._timer: Timer | None = None
        self._number = 0
        self._sampling = False

    # ---- messages in -----------------------------------------------------------------------------

    def serve(self, message: MemoryMessage) -> None:
        match message:
            case Begin():
                self._sample()
            case Outcome():
                self._calls.settle(message)
            case TimerFired(name="sample", number=number):
                if number == self._number:
                    self._sample()
            case TimerFired(name="recorder"):
                self._recorder.retry()
            case TimerFired():
                pass  # none of ours
            case CollectionEnded():
                self._step(
                    CollectionOver(
                        session_id=message.session_id,
                        incarnation=message.incarnation,
                        seconds=message.seconds,
                        failed=message.code,
                    )
                )
            case RecycleAnswered():
                self._recycle_answered(message)
            case _:
                assert_never(message)

    def _recycle_answered(self, message: RecycleAnswered) -> None:
        key, incarnation = message.session_id, message.incarnation
        if isinstance(message.answer, Refused):
            log.info("recycle_refused", session_id=key, code=message.answer.code)
            self._step(RecycleRefused(session_id=key, incarnation=incarnation))
        else:
            self._step(RecycleAccepted(session_id=key, incarnation=incarnation))

    def _arm_once(self, name: str, seconds: float) -> None:
        self._deps.main.after(seconds, self.actor_ref, TimerFired(name=name, number=0))

    def _arm_sample(self, seconds: float) -> None:
        self._number += 1
        if self._timer is not None:
            self._timer.cancel()
        fired = TimerFired(name="sample", number=self._number)
        self._timer = self._deps.main.after(seconds, self.actor_ref, fired)

    # ---- sampling --------------------------------------------------------------------------------

    def _sample(self) -> None:
        if self._sampling:
            return
        self._sampling = True
        running = {
            live.browser_pid: live
            for live in self._deps.board.all()
            if live.browser_pid is not None
        }
        work = partial(asyncio.to_thread, self._take, running)
        self._calls.place(self._deps.main, work, self._sampled, deadline=SAMPLE_DEADLINE)

    def _take(self, running: Mapping[int, LiveSession]) -> Look:
        """Look at all browsers; in a thread."""
        began = self._deps.monotonic()
        found = footprints(running, self._shares)
        browsers = {running[pid].session_id: (running[pid], each) for pid, each in found.items()}
        if self._deps.budget is None:
            there = memory()
        else:
            used = sum(each.pss for each in found.values())
            there = Memory(used=used, limit=self._deps.budget)
        return Look(browsers=browsers, memory=there, seconds=self._deps.monotonic() - began)

    def _sampled(self, outcome: Outcome) -> None:
        self._sampling = False
        self._arm_sample(self._deps.interval)
        if outcome.error is not None:
            log.warning("memory_not_sampled", error=type(outcome.error).__name__)
            return
        look: Look = outcome.value
        care, usage = self._deps.telemetry.care, self._deps.usage
        usage.browsers = {key: each for key, (_, each) in look.browsers.items()}
        care.sample_seconds.observe(look.seconds)
        care.memory_used.set(look.memory.used)
        care.memory_limit.set(look.memory.limit)
        uses = {key: _use(live, each) for key, (live, each) in look.browsers.items()}
        self._step(Sampled(uses=uses, used=look.memory.used, limit=look.memory.limit))

    # ---- the plan --------------------------------------------------------------------------------

    def _step(self, event: MemoryEvent) -> None:
        deps = self._deps
        self._plan, actions = planner.step(
            self._plan, event, deps.rules, deps.monotonic(), deps.uniform
        )
        for action in actions:
            self._perform(action)

    def _perform(self, action: MemoryAction) -> None:
        care = self._deps.telemetry.care
        match action:
            case Collect(session_id=session_id, incarnation=incarnation, cause=cause):
                care.collections.labels(cause=cause.value).inc()
                told: CollectGarbage | KillBrowser = CollectGarbage()
                self.tell_parent(
                    ToSession(session_id=session_id, incarnation=incarnation, message=told)
                )
            case Kill(session_id=session_id, incarnation=incarnation):
                care.memory_kills.inc()
                told = KillBrowser(detail=self._why(action.memory))
                self.tell_parent(
                    ToSession(session_id=session_id, incarnation=incarnation, message=told)
                )
            case Restart():
                self._ask_for_restart(action)
            case LookSoon(seconds=seconds):
                self._arm_sample(seconds)
            case Tell(session_id=session_id, payload=payload):
                self._tell(session_id, payload)
            case _:
                assert_never(action)

    def _why(self, taken: int) -> str:
        limit = self._deps.rules.kill
        return f"{taken / MB:.0f} MB, more than memory_kill_mb ({limit / MB:.0f} MB)"

    def _ask_for_restart(self, restart: Restart) -> None:
        def answered(answer: Any) -> RecycleAnswered:
            return RecycleAnswered(
                session_id=restart.session_id, incarnation=restart.incarnation, answer=answer
            )

        self.tell_parent(
            RecycleSession(
                session_id=restart.session_id,
                incarnation=restart.incarnation,
                cause=restart.cause.value,
                quiet=restart.quiet,
                reply=MailReply(self.actor_ref, answered),
            )
        )

    def _tell(self, session_id: str, payload: Mapping[str, Any]) -> None:
        action, cause = payload["action"], payload["cause"]
        log.info("memory_event", session_id=session_id, what=action, cause=cause)
        if action == "recycle":
            self._deps.telemetry.care.recycles.labels(cause=cause).inc()
        store, now = self._deps.store, self._deps.now_ms()

        async def write() -> None:
            try:
                await store.record_event(session_id, EventType.MEMORY, payload, now)
            except SessionNotFound:
                log.info("event_of_no_session", session_id=session_id)

        self._recorder.put("memory", write)

    def release(self) -> None:
        """Let no timer ring for an actor that is gone."""
        if self._timer is not None:
            self._timer.cancel()


def _use(live: LiveSession, footprint: Footprint) -> Use:
    return Use(
        incarnation=live.incarnation,
        memory=footprint.pss,
        age=footprint.age,
        connected=live.status == "connected",
    )
