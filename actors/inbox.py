"""What a session does with what WhatsApp brings: it is written down, files are fetched.

Contacts' messages and what else they do, acks of own messages, calls; and what the API wants to
know of the page.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from actors.browser.driver import AckChanged, MessageReceived
from actors.browser.happenings import (
    CallReceived,
    MessageEdited,
    MessageRevoked,
    ParticipantsChanged,
    PollVoted,
    ReactionChanged,
)
from actors.fetching import Fetching
from actors.reading import PageReading
from actors.receipts import Receipts
from storage.inbound import Call, Participation, Target
from storage.messages import NewInbound

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from actors.browser.driver import Browser, BrowserFact
    from actors.calls import Calls
    from actors.deps import SessionDeps
    from actors.messages import Outcome
    from actors.page_messages import ReadPage
    from actors.recorder import Recorder
    from storage.messages import MessageRow
    from storage.store import Store

log = structlog.get_logger(__name__)

SLACK: Final = 15.0
"""Above the browser's own deadline."""


class InboxOwner(Protocol):
    """What the inbox asks of its session actor."""

    child_id: str

    def arm_media_timer(self, seconds: float) -> None: ...


class Inbox:
    """Owned by one session actor and used only from its thread."""

    def __init__(
        self, *, owner: InboxOwner, calls: Calls, deps: SessionDeps, recorder: Recorder
    ) -> None:
        self._session_id = owner.child_id
        self._calls = calls
        self._deps = deps
        self._recorder = recorder
        self._browser: Browser | None = None
        self._receipts = Receipts(deps.store, owner.child_id)
        self._noticed = partial(owner.arm_media_timer, 0.0)
        self._fetching = Fetching(
            session_id=owner.child_id,
            calls=calls,
            deps=deps,
            recorder=recorder,
            arm=owner.arm_media_timer,
        )
        self._reading = PageReading(calls=calls, deps=deps)

    # ---- the connection --------------------------------------------------------------------------

    def connected(self, browser: Browser) -> None:
        """The page can be asked from now on."""
        self._browser = browser
        self._fetching.start(browser)

    def disconnected(self) -> None:
        """It can't any more."""
        self._browser = None
        self._fetching.halt()

    def read(self, message: ReadPage) -> None:
        """The API wants to know something of the page."""
        self._reading.ask(message, self._browser)

    def timer_fired(self) -> None:
        """A file may wait to be fetched."""
        self._fetching.wake()

    # ---- facts -----------------------------------------------------------------------------------

    def take(self, fact: BrowserFact) -> None:
        """Write down what is to be written down of a fact; others are none of its business."""
        store = self._deps.store
        match fact:
            case MessageReceived():
                self._message(fact)
            case AckChanged(wa_ids=wa_ids, ack=ack):
                self._acks(wa_ids, ack)
            case MessageEdited(body=body, at_ms=at_ms):
                edit = partial(store.record_edit, self._target(fact), body, at_ms)
                self._recorder.put("edit", edit)
            case MessageRevoked(by=by, at_ms=at_ms):
                revoke = partial(store.record_revoke, self._target(fact), by, at_ms)
                self._recorder.put("revoke", revoke)
            case ReactionChanged(sender=sender, emoji=emoji, at_ms=at_ms):
                react = partial(store.record_reaction, self._target(fact), sender, emoji, at_ms)
                self._recorder.put("reaction", react)
            case PollVoted(sender=sender, options=options, at_ms=at_ms):
                vote = partial(store.record_vote, self._target(fact), sender, options, at_ms)
                self._recorder.put("vote", vote)
            case ParticipantsChanged():
                self._participants(fact)
            case CallReceived():
                self._call(fact)
            case _:
                pass

    def _acks(self, wa_ids: Sequence[str], ack: int) -> None:
        """Nothing that was put meanwhile is overtaken: only the last write takes more along."""
        now, last = self._deps.now_ms(), self._receipts
        if self._recorder.last == last.write and last.add(wa_ids, ack, now):
            return
        self._receipts = Receipts(self._deps.store, self._session_id)
        self._receipts.add(wa_ids, ack, now)
        self._recorder.put("acks", self._receipts.write)

    def _target(self, fact: MessageEdited | MessageRevoked | ReactionChanged | PollVoted) -> Target:
        return Target(
            session_id=self._session_id,
            wa_id=fact.wa_id,
            chats=fact.chats,
            now_ms=self._deps.now_ms(),
        )

    def _message(self, fact: MessageReceived) -> None:
        """A contact wrote; a repeat is stored once."""
        # WhatsApp gives what may be seen once to phones only.
        has_file = "file" in fact.content and not fact.content.get("view_once")
        new = NewInbound(
            session_id=self._session_id,
            chat=fact.chat,
            sender=fact.sender,
            wa_id=fact.wa_id,
            kind=fact.kind,
            body=fact.body,
            content=fact.content,
            sent_ms=fact.sent_ms,
            now_ms=self._deps.now_ms(),
            fetch=has_file and self._deps.inbound.fetch,
        )
        write = partial(_record_inbound, self._deps.store, new, self._noticed)
        self._recorder.put("inbound", write)

    def _participants(self, fact: ParticipantsChanged) -> None:
        change = Participation(
            session_id=self._session_id,
            chat=fact.chat,
            action=fact.action.value,
            by=fact.by,
            members=fact.members,
            now_ms=self._deps.now_ms(),
        )
        write = partial(self._deps.store.record_participants, change)
        self._recorder.put("participants", write)

    def _call(self, fact: CallReceived) -> None:
        """Reject it if that is wanted, then tell of it."""
        if not self._deps.inbound.reject_calls or self._browser is None:
            self._record_call(fact, rejected=False)
            return
        work = partial(self._browser.reject_call, fact.call_id)
        then = partial(self._call_rejected, fact)
        deadline = self._deps.timeouts.call + SLACK
        self._calls.place(self._deps.browsers, work, then, deadline=deadline)

    def _call_rejected(self, fact: CallReceived, outcome: Outcome) -> None:
        if outcome.error is not None:
            log.warning("call_not_rejected", error=type(outcome.error).__name__)
        self._record_call(fact, rejected=outcome.error is None)

    def _record_call(self, fact: CallReceived, *, rejected: bool) -> None:
        call = Call(
            session_id=self._session_id,
            sender=fact.sender,
            video=fact.video,
            group=fact.group,
            rejected=rejected,
            now_ms=self._deps.now_ms(),
        )
        self._recorder.put("call", partial(self._deps.store.record_call, call))


async def _record_inbound(
    store: Store, new: NewInbound, noticed: Callable[[], None]
) -> MessageRow | None:
    """Store it, and only then let its file be looked for."""
    row = await store.record_inbound(new)
    if row is not None and new.fetch:
        noticed()
    return row
