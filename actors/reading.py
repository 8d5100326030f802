"""What a session has its page look up for the API: contacts, chats, groups, history."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import structlog

from actors.bridge import DeadlineExceeded
from actors.browser.driver import CallTimedOut, PageRefused
from actors.messages import NOT_CONNECTED, PageRead, Refused

if TYPE_CHECKING:
    from actors.browser.driver import Browser
    from actors.calls import Calls
    from actors.deps import SessionDeps
    from actors.messages import Outcome, Reply
    from actors.page_messages import ReadPage

log = structlog.get_logger(__name__)

SLACK: Final = 15.0
"""Above the browser's own deadline."""
MOST_OPEN: Final = 8
"""Questions that one page works on; who asks more has to wait for an answer first."""


class PageReading:
    """Owned by one session actor and used only from its thread."""

    def __init__(self, *, calls: Calls, deps: SessionDeps) -> None:
        self._calls = calls
        self._deps = deps
        self._open = 0

    def ask(self, message: ReadPage, browser: Browser | None) -> None:
        """Ask the page; `browser` is None while the session is not connected."""
        if message.reply is None:
            return
        if browser is None:
            message.reply.put(NOT_CONNECTED)
        elif self._open >= MOST_OPEN:
            busy = "The session's page has many questions to answer; ask again in a moment."
            message.reply.put(Refused(code="page_busy", message=busy))
        else:
            self._open += 1
            work = partial(browser.read, message.query)
            then = partial(self._answered, message.reply)
            deadline = self._deps.timeouts.call + SLACK
            self._calls.place(self._deps.browsers, work, then, deadline=deadline)

    def _answered(self, reply: Reply, outcome: Outcome) -> None:
        self._open -= 1
        error = outcome.error
        match error:
            case None:
                reply.put(PageRead(value=outcome.value))
                return
            case PageRefused(reason="not_connected" | "not_ready"):
                reply.put(NOT_CONNECTED)
            case PageRefused(reason=reason):
                reply.put(Refused(code=reason, message=f"WhatsApp Web could not tell: {error}."))
            case CallTimedOut() | DeadlineExceeded():
                late = "WhatsApp Web gave no answer in time; ask again."
                reply.put(Refused(code="page_unresponsive", message=late))
            case _:
                reply.put(NOT_CONNECTED)
        log.info("page_not_read", error=type(error).__name__)
