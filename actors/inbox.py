"""What a session writes down of what WhatsApp brings: contacts' messages, and acks of its own."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from storage.messages import NewInbound

if TYPE_CHECKING:
    from actors.browser.driver import AckChanged, MessageReceived
    from actors.deps import SessionDeps
    from actors.recorder import Recorder


class Inbox:
    """Owned by one session actor and used only from its thread."""

    def __init__(self, *, session_id: str, deps: SessionDeps, recorder: Recorder) -> None:
        self._session_id = session_id
        self._deps = deps
        self._recorder = recorder

    def message(self, fact: MessageReceived) -> None:
        """A contact wrote; a repeat is stored once."""
        new = NewInbound(
            session_id=self._session_id,
            chat=fact.chat,
            sender=fact.sender,
            wa_id=fact.wa_id,
            kind=fact.kind,
            body=fact.body,
            sent_ms=fact.sent_ms,
            now_ms=self._deps.now_ms(),
        )
        self._recorder.put("inbound", partial(self._deps.store.record_inbound, new))

    def acks(self, fact: AckChanged) -> None:
        """Own messages got an ack, or were refused."""
        record, now = self._deps.store.record_acks, self._deps.now_ms()
        write = partial(record, self._session_id, fact.wa_ids, fact.ack, now)
        self._recorder.put("acks", write)
