"""What a session does for the memory and the janitor actor, and what it tells of its own cleaning.

It has the browser; they have the judgement (actors.memory_plan, actors.janitor_plan).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, Protocol, assert_never

import structlog

from actors.care_messages import CareMessage, CollectGarbage, KillBrowser, NoteStorage
from actors.janitor_plan import cleaned_payload, oversize_note
from actors.messages import RecycleDecided, RecycleProposed, Service, ToService
from actors.service_messages import CollectionEnded
from storage.events import EventType

if TYPE_CHECKING:
    from actors.browser.profile_facts import Tidied
    from actors.calls import Calls
    from actors.deps import BrowserSlot, SessionDeps
    from actors.messages import Outcome
    from actors.recorder import Recorder

log = structlog.get_logger(__name__)

CALL_SLACK: Final = 5.0


class CaringOwner(Protocol):
    """What the care asks of its session actor."""

    child_id: str
    incarnation: int

    def tell_parent(self, message: object) -> None: ...

    def page_is_sick(self, cause: str, detail: str) -> None: ...

    def noted(self, note: str | None) -> None: ...

    def suits(self, quiet: float | None) -> bool: ...


class Caring:
    """Owned by one session actor and used only from its thread."""

    def __init__(
        self,
        *,
        owner: CaringOwner,
        calls: Calls,
        deps: SessionDeps,
        slot: BrowserSlot,
        recorder: Recorder,
    ) -> None:
        self._owner = owner
        self._calls = calls
        self._deps = deps
        self._slot = slot
        self._recorder = recorder

    def handle(self, message: CareMessage | RecycleProposed) -> None:
        """Do what is asked for."""
        match message:
            case RecycleProposed(quiet=quiet):
                self._decide(self._owner.suits(quiet))
            case CollectGarbage():
                self._collect()
            case KillBrowser(detail=detail):
                self._kill(detail)
            case NoteStorage(note=note):
                self._owner.noted(note)
            case _:
                assert_never(message)

    def tidied(self, tidied: Tidied | None) -> None:
        """The launch: the profile was above the limit, and was cleaned before anything runs."""
        if tidied is None:
            return
        count = self._deps.telemetry.care
        count.cleanings.labels(cause="launch").inc()
        count.cleaned_bytes.labels(cause="launch").inc(tidied.removed.bytes)
        log.info("profile_cleaned", cause="launch", bytes=tidied.removed.bytes)
        payload = cleaned_payload("launch", tidied)
        record, now = self._deps.store.record_event, self._deps.now_ms()
        write = partial(record, self._owner.child_id, EventType.STORAGE, payload, now)
        self._recorder.put("storage", write)
        self._owner.noted(oversize_note(tidied.after, self._deps.profiles.limit))

    def _decide(self, agreed: bool) -> None:
        owner = self._owner
        decided = RecycleDecided(
            child_id=owner.child_id, incarnation=owner.incarnation, agreed=agreed
        )
        owner.tell_parent(decided)

    def _collect(self) -> None:
        browser = self._slot.browser
        if browser is None:
            self._collected(0.0, "not_running")
            return
        began = self._deps.monotonic()

        def ended(outcome: Outcome) -> None:
            error = outcome.error
            code = None if error is None else getattr(error, "code", type(error).__name__)
            self._collected(self._deps.monotonic() - began, code)

        deadline = self._deps.timeouts.call + CALL_SLACK
        self._calls.place(self._deps.browsers, browser.collect_garbage, ended, deadline=deadline)

    def _collected(self, seconds: float, code: str | None) -> None:
        ended = CollectionEnded(
            session_id=self._owner.child_id,
            incarnation=self._owner.incarnation,
            seconds=seconds,
            code=code,
        )
        self._owner.tell_parent(ToService(service=Service.MEMORY, message=ended))

    def _kill(self, detail: str) -> None:
        browser = self._slot.browser
        if browser is not None:
            log.warning("browser_killed", pid=browser.pid, cause="memory_exceeded")
            browser.kill()
            self._owner.page_is_sick("memory_exceeded", detail)
