"""From a claimed message to the page's answer: prepare it, hand it over, tidy up after it."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog

from actors.browser.driver import PageRefused
from actors.browser.reading import MarkTyping
from actors.messages import Outcome
from actors.outgoing import plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.browser.driver import Browser, Outgoing
    from actors.calls import Calls
    from actors.deps import SessionDeps
    from storage.messages import MessageRow

log = structlog.get_logger(__name__)

PREPARE_DEADLINE: Final = 60.0
NOT_NOW: Final = "not_now"
"""The reason of a PageRefused that says: nothing was handed over, and it may work later."""


class Handover:
    """Owned by one session actor and used only from its thread; one message at a time."""

    def __init__(self, calls: Calls, deps: SessionDeps) -> None:
        self._calls = calls
        self._main = deps.main
        self._browsers = deps.browsers
        self._desk = deps.outgoing

    def place(
        self,
        row: MessageRow,
        browser: Browser,
        then: Callable[[Outcome], None],
        *,
        deadline: float,
    ) -> None:
        """Have it sent; `then` gets what Browser.send answers, within `deadline` seconds of that.

        What could not even be prepared is a PageRefused, too: a reason of actors.outgoing, or
        NOT_NOW.
        """
        ready = plain(row)
        if ready is not None:
            self._send(row, ready, browser, then, deadline)
            return
        prepare = partial(self._desk.prepare, row)
        prepared = partial(self._prepared, row, browser, then, deadline)
        self._calls.place(
            self._main,
            prepare,
            prepared,
            deadline=PREPARE_DEADLINE,
            discard=self._desk.discard,
        )

    def announce(
        self,
        row: MessageRow,
        browser: Browser,
        seconds: float,
        then: Callable[[Outcome], None],
        *,
        deadline: float,
    ) -> None:
        """Show its chat that we type; `then` follows after `seconds`, `deadline` later at most."""
        work = partial(type_for, browser, row.chat, seconds)
        self._calls.place(self._browsers, work, then, deadline=seconds + deadline)

    def _prepared(
        self,
        row: MessageRow,
        browser: Browser,
        then: Callable[[Outcome], None],
        deadline: float,
        outcome: Outcome,
    ) -> None:
        error = outcome.error
        if error is not None:
            if not isinstance(error, PageRefused):
                log.warning("message_not_prepared", message_id=row.id, error=type(error).__name__)
                error = PageRefused(NOT_NOW, type(error).__name__)
            then(Outcome(call_id=outcome.call_id, error=error))
            return
        self._send(row, outcome.value, browser, then, deadline)

    def _send(
        self,
        row: MessageRow,
        outgoing: Outgoing,
        browser: Browser,
        then: Callable[[Outcome], None],
        deadline: float,
    ) -> None:
        work = partial(browser.send, outgoing, again=row.attempts > 1)
        answered = partial(self._answered, outgoing, then)
        self._calls.place(self._browsers, work, answered, deadline=deadline)

    def _answered(
        self, outgoing: Outgoing, then: Callable[[Outcome], None], outcome: Outcome
    ) -> None:
        if outgoing.media is not None:
            tidy = partial(self._desk.discard, outgoing)
            self._calls.place(self._main, tidy, _tidied, deadline=PREPARE_DEADLINE)
        then(outcome)


async def type_for(browser: Browser, chat: str, seconds: float) -> None:
    """Show the people of a chat that we type; returns when that is over. Raises DriverError."""
    await browser.read(MarkTyping(jid=chat, seconds=seconds))
    await asyncio.sleep(seconds)


def _tidied(outcome: Outcome) -> None:
    """What could not be removed goes with the directory, at the next launch."""
    if outcome.error is not None:
        log.warning("outgoing_file_left", error=type(outcome.error).__name__)
