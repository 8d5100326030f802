"""The janitor: keeps every profile within its limit, and the disk from filling up unnoticed.

Chromium does not notice a full disk: it starts, runs, and loses what it can't write. So the free
space is watched here. What is done about what is seen is in actors.janitor_plan; how a profile is
cleaned, in actors.browser.profile_care. It has nothing to lose in a crash: sizes and free space
are on the disk, who runs is on the live board.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, assert_never

import structlog

from actors import janitor_plan as planner
from actors.calls import Calls
from actors.care_messages import NoteStorage
from actors.janitor_plan import Clean, CleanAll, Note, Plan, Restart, SetLevel, Tell
from actors.messages import (
    Begin,
    LaunchGateChanged,
    Outcome,
    RecycleSession,
    Refused,
    TimerFired,
    ToSession,
)
from actors.recorder import Recorder
from actors.service import MailReply, ServiceActor
from actors.service_messages import JanitorMessage, RecycleAnswered
from storage.events import EventType
from storage.space import SpaceLevel
from storage.store import SessionNotFound

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from actors.bridge import Bridge
    from actors.browser.profile_care import ProfileCare
    from actors.browser.profile_facts import Removed, Tidied
    from actors.gate import LaunchGate
    from actors.janitor_plan import JanitorAction, JanitorEvent, JanitorRules
    from actors.live import LiveBoard
    from actors.telemetry import Telemetry
    from actors.usage import UsageBoard
    from storage.space import Space
    from storage.store import Store

log = structlog.get_logger(__name__)

LOOK_DEADLINE: Final = 30.0
WORK_DEADLINE: Final = 600.0
JITTER: Final = 0.1
FIRST_ROUND: Final = 60.0
"""The first round comes soon after the start, whenever the last one of a former life was."""
PAGE: Final = 500
FULL: Final = "disk_full"


@dataclass(frozen=True, slots=True, kw_only=True)
class JanitorTimes:
    """Seconds from the end of one look at the disk, measurement or round to the next."""

    look: float
    measure: float
    round: float


@dataclass(frozen=True, slots=True, kw_only=True)
class JanitorDeps:
    """What the janitor is given; `root` is where the free space counts."""

    main: Bridge
    store: Store
    profiles: ProfileCare
    board: LiveBoard
    usage: UsageBoard
    space: Space
    gate: LaunchGate
    telemetry: Telemetry
    rules: JanitorRules
    times: JanitorTimes
    root: Path
    now_ms: Callable[[], int]
    monotonic: Callable[[], float]
    uniform: Callable[[float, float], float]


class JanitorActor(ServiceActor):
    """The service JANITOR."""

    def __init__(self, *, deps: JanitorDeps, **child: Any) -> None:
        super().__init__(**child)
        self._deps = deps
        self._calls = Calls(self.actor_ref)
        self._recorder = Recorder(
            self._calls, deps.main, self.child_id, partial(self._arm, "recorder")
        )
        self._plan = Plan(level=deps.space.level)
        self._cleaning: set[str] = set()

    # ---- messages in -----------------------------------------------------------------------------

    def serve(self, message: JanitorMessage) -> None:
        match message:
            case Begin():
                self._look()
                self._measure()
                first = min(FIRST_ROUND, self._deps.times.round)
                self._arm("round", self._deps.uniform(0, first))
            case Outcome():
                self._calls.settle(message)
            case TimerFired(name="look"):
                self._look()
            case TimerFired(name="measure"):
                self._measure()
            case TimerFired(name="round"):
                self._round()
            case TimerFired(name="recorder"):
                self._recorder.retry()
            case TimerFired():
                pass  # none of ours
            case RecycleAnswered(session_id=session_id, answer=Refused(code=code)):
                log.info("storage_recycle_refused", session_id=session_id, code=code)
                self._step(planner.RestartRefused(session_id=session_id))
            case RecycleAnswered(session_id=session_id):
                self._deps.telemetry.care.recycles.labels(cause="storage").inc()
                self._tell(session_id, {"action": "recycle", "cause": "limit"})
            case _:
                assert_never(message)

    def _arm(self, name: str, seconds: float) -> None:
        self._deps.main.after(seconds, self.actor_ref, TimerFired(name=name, number=0))

    def _jittered(self, seconds: float) -> float:
        return seconds * self._deps.uniform(1 - JITTER, 1 + JITTER)

    # ---- the disk --------------------------------------------------------------------------------

    def _look(self) -> None:
        work = partial(asyncio.to_thread, shutil.disk_usage, self._deps.root)
        self._calls.place(self._deps.main, work, self._looked, deadline=LOOK_DEADLINE)

    def _looked(self, outcome: Outcome) -> None:
        self._arm("look", self._deps.times.look)
        if outcome.error is not None:
            log.warning("disk_not_seen", error=type(outcome.error).__name__)
            return
        self._deps.telemetry.care.disk_free.set(outcome.value.free)
        self._step(planner.DiskSeen(free=outcome.value.free))
        self._deps.telemetry.care.disk_level.set(self._plan.level)

    # ---- profiles --------------------------------------------------------------------------------

    def _measure(self) -> None:
        began = self._deps.monotonic()
        then = partial(self._measured, began)
        work = self._deps.profiles.measure
        self._calls.place(self._deps.main, work, then, deadline=WORK_DEADLINE)

    def _measured(self, began: float, outcome: Outcome) -> None:
        deps = self._deps
        self._arm("measure", self._jittered(deps.times.measure))
        if outcome.error is not None:
            log.warning("profiles_not_measured", error=type(outcome.error).__name__)
            return
        deps.telemetry.care.measure_seconds.observe(deps.monotonic() - began)
        deps.usage.profiles = outcome.value
        self._step(planner.ProfilesSeen(session_ids=frozenset(outcome.value)))
        for session_id, size in outcome.value.items():
            live = deps.board.get(session_id)
            seen = planner.ProfileSeen(
                session_id=session_id,
                incarnation=None if live is None else live.incarnation,
                size=size,
            )
            self._step(seen)
        deps.telemetry.care.oversized.set(len(self._plan.oversized))

    # ---- rounds ----------------------------------------------------------------------------------

    def _round(self) -> None:
        self._calls.place(self._deps.main, self._survey, self._surveyed, deadline=WORK_DEADLINE)

    async def _survey(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the sessions that have a directory, and the directories whose session is gone."""
        deps = self._deps
        # The rows after the directories: a session made in between has no directory yet.
        directories = await deps.profiles.directories()
        known: set[str] = set()
        after: str | None = None
        while rows := await deps.store.all_sessions(after=after, limit=PAGE):
            known.update(row.id for row in rows)
            after = rows[-1].id
        gone = planner.orphans(directories, frozenset(known), deps.rules, time.time())
        return tuple(each.session_id for each in directories if each.session_id in known), gone

    def _surveyed(self, outcome: Outcome) -> None:
        self._arm("round", self._jittered(self._deps.times.round))
        if outcome.error is not None:
            log.warning("janitor_round_failed", error=type(outcome.error).__name__)
            return
        sessions, gone = outcome.value
        for session_id in sessions:
            self._clean(session_id, "round")
        for session_id in gone:
            work = partial(self._deps.profiles.remove, session_id)
            then = partial(self._removed, session_id)
            self._calls.place(self._deps.main, work, then, deadline=WORK_DEADLINE)

    def _removed(self, session_id: str, outcome: Outcome) -> None:
        if outcome.error is not None:
            log.warning(
                "orphan_not_removed",
                session_id=session_id,
                error=type(outcome.error).__name__,
            )
            return
        removed: Removed | None = outcome.value
        if removed is None:
            log.info("orphan_spared", session_id=session_id)
            return
        self._deps.telemetry.care.orphans_removed.inc()
        log.warning("orphan_removed", session_id=session_id, bytes=removed.bytes)
        payload = {"action": "orphan_removed", "before": removed.bytes, "left": removed.left}
        self._tell(session_id, payload)

    def _clean(self, session_id: str, cause: str) -> None:
        if session_id in self._cleaning or self._deps.board.get(session_id) is not None:
            return
        self._cleaning.add(session_id)
        work = partial(self._deps.profiles.clean, session_id)
        then = partial(self._cleaned, session_id, cause)
        self._calls.place(self._deps.main, work, then, deadline=WORK_DEADLINE)

    def _cleaned(self, session_id: str, cause: str, outcome: Outcome) -> None:
        self._cleaning.discard(session_id)
        if outcome.error is not None:
            log.warning(
                "profile_not_cleaned", session_id=session_id, error=type(outcome.error).__name__
            )
            return
        tidied: Tidied | None = outcome.value
        if tidied is None or not (tidied.removed.files or tidied.removed.left):
            return  # it runs by now, or there was nothing to do
        care = self._deps.telemetry.care
        care.cleanings.labels(cause=cause).inc()
        care.cleaned_bytes.labels(cause=cause).inc(tidied.removed.bytes)
        log.info("profile_cleaned", session_id=session_id, cause=cause, bytes=tidied.removed.bytes)
        self._tell(session_id, planner.cleaned_payload(cause, tidied))

    # ---- the plan --------------------------------------------------------------------------------

    def _step(self, event: JanitorEvent) -> None:
        now = self._deps.monotonic()
        self._plan, actions = planner.step(self._plan, event, self._deps.rules, now)
        for action in actions:
            self._perform(action)

    def _perform(self, action: JanitorAction) -> None:
        match action:
            case SetLevel(level=level):
                self._set_level(level)
            case CleanAll(cause=cause):
                for session_id in self._deps.usage.profiles:
                    self._clean(session_id, cause)
            case Clean(session_id=session_id, cause=cause):
                self._clean(session_id, cause)
            case Restart(session_id=session_id, incarnation=incarnation):
                self._ask_for_restart(session_id, incarnation)
            case Note(session_id=session_id, incarnation=incarnation, note=note):
                told = NoteStorage(note=note)
                self.tell_parent(
                    ToSession(session_id=session_id, incarnation=incarnation, message=told)
                )
            case Tell(session_id=session_id, payload=payload):
                log.info("storage_event", session_id=session_id, what=payload["action"])
                self._tell(session_id, payload)
            case _:
                assert_never(action)

    def _set_level(self, level: SpaceLevel) -> None:
        log.warning("disk_level_changed", what=planner.LEVEL_WORDS[level])
        self._deps.space.set(level)
        if level is SpaceLevel.FULL:
            self._deps.gate.close(FULL)
        else:
            self._deps.gate.open(FULL)
        self.tell_parent(LaunchGateChanged())

    def _ask_for_restart(self, session_id: str, incarnation: int) -> None:
        def answered(answer: Any) -> RecycleAnswered:
            return RecycleAnswered(session_id=session_id, incarnation=incarnation, answer=answer)

        self.tell_parent(
            RecycleSession(
                session_id=session_id,
                incarnation=incarnation,
                cause="storage",
                quiet=0.0,
                reply=MailReply(self.actor_ref, answered),
            )
        )

    def _tell(self, session_id: str | None, payload: Any) -> None:
        """Write an event; of a session that never was in this database there is none to write."""
        store, now = self._deps.store, self._deps.now_ms()

        async def write() -> None:
            if session_id is None:
                await store.record_notice(EventType.STORAGE, payload, now)
                return
            try:
                await store.record_event(session_id, EventType.STORAGE, payload, now)
            except SessionNotFound:
                log.info("event_of_no_session", session_id=session_id)

        self._recorder.put("storage", write)

    def release(self) -> None:
        """Own nothing: what runs in threads ends by itself, and nobody waits for it."""
