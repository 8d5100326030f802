"""What a session has its browser do: load the page, load it anew, take the login back, unlink, end.

And what the answers mean.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol, assert_never

import structlog

from actors import events
from actors.browser.driver import (
    ConnectionLost,
    PageGone,
    PageRefused,
    PageUnreachable,
    StopReport,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.browser.driver import Browser
    from actors.calls import Calls
    from actors.deps import SessionDeps
    from actors.health import Health
    from actors.messages import Outcome

log = structlog.get_logger(__name__)

SLACK: Final = 15.0
"""Above the browser's own deadlines."""

PageEffect = events.Open | events.Reload | events.TakeOver | events.Unlink | events.StopBrowser


class PageOwner(Protocol):
    """What the page's answers are told to: a session actor."""

    def the_browser(self) -> Browser: ...

    def happened(
        self, event: events.CallFailed | events.LogoutDone | events.BrowserStopped
    ) -> None: ...


class PageCalls:
    """Owned by one session actor and used only from its thread."""

    def __init__(
        self, *, owner: PageOwner, calls: Calls, deps: SessionDeps, health: Health
    ) -> None:
        self._owner = owner
        self._calls = calls
        self._deps = deps
        self._health = health
        self._opening = 0

    def perform(self, effect: PageEffect) -> None:
        """Place the call; its answer is an event, if it is more than what facts tell anyway."""
        browser, timeouts = self._owner.the_browser(), self._deps.timeouts
        match effect:
            case events.Open():
                self._open(browser.open)
            case events.Reload(fresh=fresh):
                self._open(partial(browser.reload, fresh=fresh))
            case events.TakeOver():
                self._place(browser.take_over, self._taken_over, timeouts.call)
            case events.Unlink():
                self._place(browser.logout, self._unlinked, timeouts.call)
            case events.StopBrowser(at_once=at_once):
                self._stop(browser, 0.0 if at_once else timeouts.stop)
            case _:
                assert_never(effect)

    def _stop(self, browser: Browser, timeout: float) -> None:
        then = partial(self._stopped, browser)
        self._place(partial(browser.stop, timeout), then, timeout)

    def _stopped(self, browser: Browser, outcome: Outcome) -> None:
        report = outcome.value
        if isinstance(report, StopReport):
            if report.forced:
                self._deps.telemetry.forced_stops.inc()
            log.info("browser_stopped", forced=report.forced, seconds=round(report.seconds, 3))
            if report.survivors:
                log.error("browser_survived", pids=list(report.survivors))
        else:
            log.error("browser_stop_failed", error=type(outcome.error).__name__)
            browser.kill()
        self._owner.happened(events.BrowserStopped())

    def _place(
        self, work: Callable[[], Any], then: Callable[[Outcome], None], timeout: float
    ) -> None:
        self._calls.place(self._deps.browsers, work, then, deadline=timeout + SLACK)

    def _open(self, work: Callable[[], Any]) -> None:
        self._opening += 1
        then = partial(self._opened, self._opening)
        self._place(work, then, self._deps.timeouts.open)

    def _opened(self, number: int, outcome: Outcome) -> None:
        if number != self._opening:
            return  # it is being loaded anew already
        match outcome.error:
            case None:
                return
            case PageUnreachable() as error:
                self._give_up("unreachable", str(error))
            case PageGone() as error:
                self._health.trouble("page_crashed", error.code)
            case ConnectionLost() as error:
                self._give_up("browser_exited", error.code)
            case error:
                self._give_up("open_timeout", getattr(error, "code", type(error).__name__))

    def _give_up(self, cause: str, detail: str) -> None:
        """Only a new browser can help, or not even that."""
        self._owner.happened(events.CallFailed(cause=cause, detail=detail))

    def _taken_over(self, outcome: Outcome) -> None:
        if isinstance(outcome.error, PageRefused):
            self._give_up("conflict", outcome.error.reason)
        elif outcome.error is not None:  # the phase has a deadline
            log.warning("take_over_failed", error=type(outcome.error).__name__)

    def _unlinked(self, outcome: Outcome) -> None:
        if outcome.error is not None:
            log.warning("unlink_failed", error=type(outcome.error).__name__)
        self._owner.happened(events.LogoutDone(confirmed=outcome.error is None))
