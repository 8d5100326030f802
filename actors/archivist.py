"""Archives a session's login while it is connected, and restores it before a launch that has none.

When is decided in actors.archive_plan; how it is kept is the Archives port's business. Whatever
fails here is told and counted, and tried again later: the session itself goes on.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol, assert_never

import structlog

from actors import archive_plan as planner
from actors.archive_plan import ArmArchive, BeginArchive, Plan, RefuseArchive
from actors.browser.logins import copy_place, may_hold_login
from actors.messages import Archived, Refused
from actors.snapshots import bring_back, restore_snapshot, sweep_aside

if TYPE_CHECKING:
    from actors.bridge import Timer
    from actors.browser.driver import Browser, CopyReport
    from actors.calls import Calls
    from actors.deps import SessionDeps
    from actors.messages import Answer, Outcome, Reply
    from actors.recorder import Recorder
    from storage.archives import ArchiveInfo, Restored

log = structlog.get_logger(__name__)

COPY_DEADLINE: Final = 60.0
"""Well above the browser's own deadline for the copy, which is what lets the browser go."""
SAVE_DEADLINE: Final = 600.0
SWEEP_DEADLINE: Final = 60.0


class ArchivistOwner(Protocol):
    """What the archivist asks of its session actor."""

    def arm_archive_timer(self, seconds: float, number: int) -> Timer: ...


class Archivist:
    """Owned by one session actor and used only from its thread."""

    def __init__(
        self,
        *,
        owner: ArchivistOwner,
        session_id: str,
        calls: Calls,
        deps: SessionDeps,
        recorder: Recorder,
    ) -> None:
        self._owner = owner
        self._session_id = session_id
        self._calls = calls
        self._deps = deps
        self._recorder = recorder
        self._profile = deps.paths(session_id).profile
        self._plan = Plan()
        self._browser: Browser | None = None
        self._waiters: list[Reply] = []
        self._timer: Timer | None = None
        self._timer_number = 0
        self._began = 0.0
        self._pause = 0.0

    # ---- told by the session ---------------------------------------------------------------------

    def connected(self, browser: Browser) -> None:
        """The session can be archived from now on."""
        self._browser = browser
        self._step(planner.Connected())

    def proven(self) -> None:
        """It is connected and well: what was put aside for a snapshot is not needed any more."""
        work = partial(asyncio.to_thread, sweep_aside, self._profile)
        self._calls.place(self._deps.main, work, _swept, deadline=SWEEP_DEADLINE)

    def disconnected(self) -> None:
        """It can't be any more, for now."""
        self._step(planner.Disconnected())

    def leaving(self) -> None:
        """It is being stopped. Idempotent."""
        self._step(planner.Leaving())

    def asked(self, reply: Reply | None) -> None:
        """Archive now; the answer comes when that is done."""
        if reply is not None:
            self._waiters.append(reply)
        self._step(planner.Asked())

    def timer_fired(self, number: int) -> None:
        """The answer to arm_archive_timer; an old timer's number changes nothing."""
        if number == self._timer_number:
            self._step(planner.TimeCame())

    def abandon(self) -> None:
        """The actor ends: tell who still waits that nobody will answer any more."""
        self.leaving()
        self._answer(_refusal("session_stopping"))

    async def restore(self, *, snapshot: bool) -> Restored | None:
        """Bring back the login of a profile that has lost it; None if there was no need to.

        A `snapshot` takes the place of one that may have it, but does not come up. For the main
        loop, before the launch. Raises ArchiveFailed, StoreError, OSError.
        """
        archives = self._deps.archives
        if await asyncio.to_thread(may_hold_login, self._profile):
            if not snapshot:
                return None
            return await restore_snapshot(archives, self._session_id, self._profile)
        restored = await archives.restore(self._session_id, self._profile)
        if restored.archive is None:  # a dead wafleet may have put it aside
            await asyncio.to_thread(bring_back, self._profile)
        return restored

    def restored(self, report: Restored | None) -> None:
        """Tell and count what `restore` found."""
        if report is None:
            return
        for each in report.refused:
            log.error("archive_refused", generation=each.generation, code=each.code)
            self._count("refused")
        if report.archive is not None:
            log.warning("profile_restored", generation=report.archive.generation)
            self._count("restored")
        # Without an archive the next login begins with nothing.
        self._doubt_since(0 if report.archive is None else report.archive.created_ms)

    def login_ended(self) -> None:
        """There is nothing to restore any more, and the next login knows nothing of this one's."""
        forget = partial(self._deps.archives.forget, self._session_id)
        self._recorder.put("archives_forgotten", forget)
        self._doubt_since(0)

    def _doubt_since(self, known_ms: int) -> None:
        """The login knows what was until then; written before the courier reads what is in doubt.

        It waits for the recorder, too.
        """
        restored, now = self._deps.store.record_restored, self._deps.now_ms()
        self._recorder.put("restored", partial(restored, self._session_id, known_ms, now))

    # ---- the plan --------------------------------------------------------------------------------

    def _step(self, event: planner.PlanEvent) -> None:
        self._plan, actions = planner.step(
            self._plan, event, self._deps.archive_times, self._deps.uniform
        )
        for action in actions:
            match action:
                case BeginArchive():
                    self._begin()
                case ArmArchive(seconds=seconds):
                    self._arm(seconds)
                case RefuseArchive(code=code):
                    self._answer(_refusal(code))
                case _:
                    assert_never(action)

    def _arm(self, seconds: float | None) -> None:
        self._timer_number += 1
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if seconds is not None:
            self._timer = self._owner.arm_archive_timer(seconds, self._timer_number)

    def _begin(self) -> None:
        if self._browser is None:
            raise RuntimeError("an archive needs a browser and there is none")
        self._began = self._deps.monotonic()
        refused = self._deps.archives.refusal()
        if refused is not None:  # the copy that is made first takes room as well
            self._failed("copy", refused)
            return
        work = partial(self._browser.freeze_copy, copy_place(self._profile))
        self._calls.place(self._deps.browsers, work, self._copied, deadline=COPY_DEADLINE)

    def _copied(self, outcome: Outcome) -> None:
        if outcome.error is not None:
            self._failed("copy", outcome.error)
            return
        report: CopyReport = outcome.value
        self._pause = report.pause_seconds
        self._deps.telemetry.archive_pause_seconds.observe(report.pause_seconds)
        work = partial(self._deps.archives.save, self._session_id, copy_place(self._profile))
        self._calls.place(self._deps.main, work, self._saved, deadline=SAVE_DEADLINE)

    def _saved(self, outcome: Outcome) -> None:
        if outcome.error is not None:
            self._failed("save", outcome.error)
            return
        info: ArchiveInfo = outcome.value
        seconds = self._deps.monotonic() - self._began
        telemetry = self._deps.telemetry
        telemetry.archive_seconds.observe(seconds)
        telemetry.archive_bytes.observe(info.bytes)
        self._count("saved")
        log.info(
            "session_archived",
            generation=info.generation,
            bytes=info.bytes,
            pause_seconds=round(self._pause, 3),
            seconds=round(seconds, 3),
        )
        answer = Archived(
            generation=info.generation,
            bytes=info.bytes,
            pause_seconds=self._pause,
            seconds=seconds,
        )
        self._answer(answer)
        self._step(planner.Ended(saved=True))

    def _failed(self, step: str, error: Exception) -> None:
        code = _code(error)
        if self._plan.closed:  # the stop has cut it short
            self._count("abandoned")
            log.info("archive_abandoned", operation=step, code=code)
        else:
            self._count("failed")
            log.warning("archive_failed", operation=step, code=code, error=type(error).__name__)
        self._answer(Refused(code=code, message=str(error)))
        self._step(planner.Ended(saved=False))

    def _count(self, result: str) -> None:
        self._deps.telemetry.archives.labels(result=result).inc()

    def _answer(self, answer: Answer) -> None:
        for reply in self._waiters:
            reply.put(answer)
        self._waiters.clear()


def _swept(outcome: Outcome) -> None:
    if outcome.error is not None:
        log.warning("profile_aside_not_removed", error=type(outcome.error).__name__)


def _refusal(code: str) -> Refused:
    return Refused(code=code, message=planner.REFUSALS[code])


def _code(error: Any) -> str:
    return str(getattr(error, "reason", None) or getattr(error, "code", "archive_failed"))
