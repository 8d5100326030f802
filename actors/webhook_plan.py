"""When a webhook's events are tried again, and when its endpoint is left alone. Pure.

Two things keep an endpoint from being hammered. Each event has a schedule: after its n-th failed
attempt it waits for the n-th pause, and after the last one it is a dead letter. Each endpoint has a
breaker: after a few failures in a row, of whichever events, nothing is sent to it but one probe at
a time, with pauses that double; the first success closes it, and all that waits is due at once.

Moments are seconds of a monotonic clock, times milliseconds since the epoch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from storage.webhooks import Waiting, WebhookRecord

LONGEST_RETRY_AFTER: Final = 86_400.0
"""An endpoint may ask for a day, not for ever."""
JITTER: Final = 0.2
_GONE: Final = 410
_SUCCESS: Final = range(200, 300)
_REDIRECTION: Final = range(300, 400)


class Verdict(StrEnum):
    """How an attempt ended; all but the first have failed."""

    DELIVERED = "delivered"
    REFUSED = "refused"
    """Answered with a status that is not 2xx."""
    REDIRECTED = "redirected"
    """Answered with 3xx, which is not followed: it could lead anywhere."""
    GONE = "gone"
    """Answered with 410: the endpoint wants no more."""
    TIMED_OUT = "timed_out"
    NOT_CONNECTED = "not_connected"
    """No such name, no connection, no TLS, or the connection broke."""
    ADDRESS_REFUSED = "address_refused"
    """Its address is none that users may have us connect to."""
    EVENT_GONE = "event_gone"
    """The event's time to live was over before the endpoint took it: nothing was sent."""
    NOT_RENDERED = "not_rendered"
    """A defect of wafleet's: no body could be made of the event, nothing was sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of one request. `retry_after` is what the endpoint asked for, in seconds."""

    verdict: Verdict
    status: int | None
    retry_after: float | None
    at_ms: int
    took_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRules:
    """`pauses` are those of the schedule, in seconds; the others are about the endpoint.

    The breaker opens after `failures` in a row, for `first_pause`, doubling to `longest_pause`. An
    endpoint that has failed for `patience` seconds without one success is disabled; 0 is never.
    """

    pauses: tuple[float, ...]
    failures: int = 5
    first_pause: float = 5.0
    longest_pause: float = 300.0
    patience: float = 5 * 86_400.0


def verdict_of(status: int) -> Verdict:
    """Return what an HTTP status means."""
    if status in _SUCCESS:
        return Verdict.DELIVERED
    if status in _REDIRECTION:
        return Verdict.REDIRECTED
    return Verdict.GONE if status == _GONE else Verdict.REFUSED


def retry_after(header: str | None, now_ms: int) -> float | None:
    """Return the seconds that a Retry-After asks for, bounded; None: nothing that can be read."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        seconds = float(text[:10])
    else:
        try:
            moment = parsedate_to_datetime(text)
        except ValueError:
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        seconds = moment.timestamp() - now_ms / 1000
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER)


def after_failure(
    waiting: Waiting,
    answer: Answer,
    rules: RetryRules,
    uniform: Callable[[float, float], float],
) -> Waiting:
    """Return an event after an attempt that failed: waiting for the next one, or dead.

    An attempt before it was due (a probe) uses up none of the schedule. An endpoint that is gone
    or was asked too early is no fault of the event.
    """
    tried = replace(
        waiting,
        attempts=waiting.attempts + 1,
        tried_ms=answer.at_ms,
        code=answer.verdict.value,
        status=answer.status,
    )
    if answer.verdict is Verdict.GONE or answer.at_ms < waiting.next_ms:
        return tried
    if waiting.step >= len(rules.pauses):
        return replace(tried, dead=True)
    pause = rules.pauses[waiting.step] * uniform(1 - JITTER, 1 + JITTER)
    pause = max(pause, answer.retry_after or 0.0)
    return replace(tried, step=waiting.step + 1, next_ms=answer.at_ms + round(pause * 1000))


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """An endpoint's breaker: open until `until`, then half open for one probe."""

    rules: RetryRules
    failures: int = 0
    until: float = float("-inf")

    @property
    def closed(self) -> bool:
        """Whether the endpoint is trusted."""
        return self.failures < self.rules.failures

    def holds(self, moment: float) -> bool:
        """Tell whether nothing at all may be sent now."""
        return moment < self.until

    def failed(
        self, moment: float, asked: float | None, uniform: Callable[[float, float], float]
    ) -> Breaker:
        """Return it after a failure; `asked` is what Retry-After said, which holds it in any case.

        Failures of requests that were under way when it opened do not lengthen its pause.
        """
        count = self.failures if self.holds(moment) and not self.closed else self.failures + 1
        until = self.until
        if count >= self.rules.failures and count > self.failures:
            doublings = min(count - self.rules.failures, 32)
            pause = min(self.rules.first_pause * 2.0**doublings, self.rules.longest_pause)
            until = max(until, moment + pause * uniform(1 - JITTER, 1 + JITTER))
        if asked is not None:
            until = max(until, moment + asked)
        return replace(self, failures=count, until=until)

    def succeeded(self) -> Breaker:
        """Return it after a success: closed."""
        return replace(self, failures=0, until=float("-inf"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What a round may do: `lanes` to go on with, whether to read on in the log, and how far.

    `probe`: only one event of all that may be sent. With nothing to do, `pause` (seconds) says when
    to look again; None is when something happens.
    """

    lanes: tuple[Waiting, ...] = ()
    fresh: bool = False
    probe: bool = False
    pause: float | None = None


def look(heads: Sequence[Waiting], breaker: Breaker, *, moment: float, now_ms: int) -> Sight:
    """Decide on a round, from the first waiting event of each lane."""
    if breaker.holds(moment):
        return Sight(pause=breaker.until - moment)
    if not breaker.closed:
        # That which was not tried for the longest: one bad event must not be the only probe.
        probes = sorted(heads, key=lambda head: (head.tried_ms or 0, head.event_id))
        return Sight(lanes=tuple(probes[:1]), fresh=True, probe=True)
    due = tuple(head for head in heads if head.next_ms <= now_ms)
    later = [head.next_ms for head in heads if head.next_ms > now_ms]
    pause = None if not later else max((min(later) - now_ms) / 1000, 0.0)
    return Sight(lanes=due, fresh=True, pause=pause)


def interests(webhook: WebhookRecord, event_type: str) -> bool:
    """Tell whether an endpoint wants to be told of events of this type."""
    return not webhook.events or event_type in webhook.events


def too_long(failing_since_ms: int | None, now_ms: int, rules: RetryRules) -> bool:
    """Tell whether an endpoint has failed for so long that nobody seems to mind."""
    if failing_since_ms is None or not rules.patience:
        return False
    return now_ms - failing_since_ms > rules.patience * 1000


def blocked_lanes(heads: Collection[Waiting]) -> set[str]:
    """Return the lanes in which new events have to queue up."""
    return {head.lane for head in heads}
