"""One webhook's deliveries: round after round, until it is told to end.

A round takes what is due of the lanes that wait, and the next events of the log. Lanes go side by
side, a few at a time; the events of a lane go one after the other, and behind one that failed the
rest of its lane waits. What came of a round is committed at its end: after a crash the events of
one round may be sent again, with the ids that they had (at least once).

Each webhook has its own worker, its own breaker and its own connections: nothing is shared in which
one endpoint could keep another one waiting.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from actors.webhook_plan import (
    Breaker,
    RetryRules,
    Verdict,
    after_failure,
    blocked_lanes,
    interests,
    look,
    too_long,
)
from actors.webhook_round import Item, Ledger, Work, message_id
from storage.events import EventLog
from storage.store import StoreError
from storage.webhooks import (
    NO_SESSION,
    Disabled,
    Round,
    Waiting,
    Webhooks,
    secret_context,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from actors.telemetry_webhooks import WebhookTelemetry
    from actors.webhook_plan import Answer, Sight
    from actors.webhook_sender import WebhookSender
    from storage.events import EventRow
    from storage.messages import MessageRow
    from storage.secrets import Secrets
    from storage.webhooks import WebhookRecord

log = structlog.get_logger(__name__)

AT_ONCE: Final = 8
"""How many lanes of one webhook are sent to at the same time."""
PAGE: Final = 100
"""How many events of the log a round takes, and how many of a lane that waits."""
IDLE: Final = 5.0
"""Seconds until a worker looks again although nobody woke it, and until a place is committed that
moved over events which its webhook does not want: a write for each of those would cost too much."""
TROUBLE: Final = 1.0
"""Seconds until what the database did not allow is tried again; doubled each time."""
MOST_TROUBLE: Final = 60.0


class WebhookStore(EventLog, Webhooks, Protocol):
    """The parts of storage that delivery uses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookDeps:
    """What delivery needs.

    `render` makes an event's body, from the message that it is about, if there is one, and whether
    the webhook's bodies hold messages.
    """

    store: WebhookStore
    sender: WebhookSender
    secrets: Secrets
    render: Callable[[EventRow, MessageRow | None, bool], str]
    rules: RetryRules
    telemetry: WebhookTelemetry
    now_ms: Callable[[], int]
    monotonic: Callable[[], float]
    uniform: Callable[[float, float], float]


class WebhookWorker:
    """Used on the loop of the store. `run` ends once `stop` was called or the webhook is over."""

    def __init__(self, deps: WebhookDeps, webhook: WebhookRecord) -> None:
        self._deps = deps
        self._webhook = webhook
        self._place = webhook.place
        self._failing_since = webhook.failing_since_ms
        # One that was failing when the node ended begins with a probe: if it is back, all that
        # waits is due at once.
        failing = webhook.failing_since_ms is not None
        self._breaker = Breaker(rules=deps.rules, failures=deps.rules.failures if failing else 0)
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._passed_over: float | None = None  # since when there is a place to be committed
        self._may_wait = True  # whether there may be rows that wait; else no need to look
        self._nudged = asyncio.Event()
        self._stopping = asyncio.Event()

    @property
    def webhook(self) -> WebhookRecord:
        return self._webhook

    @property
    def trusted(self) -> bool:
        """Whether its breaker is closed."""
        return self._breaker.closed

    def change(self, webhook: WebhookRecord) -> None:
        """Go on with other settings, or with what is replayed; its place is the worker's own."""
        if webhook.url != self._webhook.url:
            self._breaker = Breaker(rules=self._deps.rules)
        self._may_wait = True
        self._webhook = webhook
        self.nudge()

    def wants(self, event: EventRow) -> bool:
        """Tell whether this event is one for its webhook."""
        mine = event.workspace_id == self._webhook.workspace_id
        if self._webhook.session_id is not None:
            mine = mine and event.session_id == self._webhook.session_id
        return mine and interests(self._webhook, event.type)

    def nudge(self) -> None:
        """There may be something to do."""
        self._nudged.set()

    def stop(self) -> None:
        """End after what is under way."""
        self._stopping.set()
        self._nudged.set()

    async def run(self) -> None:
        """Deliver until stopped, deleted or disabled."""
        trouble = TROUBLE
        while not self._stopping.is_set():
            self._nudged.clear()
            try:
                pause = await self.round()
                await _rest(self._nudged, IDLE if pause is None else min(pause, IDLE))
            except StoreError as error:
                log.warning("webhook_round_failed", webhook_id=self._webhook.id, code=error.code)
            except Exception:  # the border: a faulty round must not end all later ones
                log.exception("webhook_round_failed", webhook_id=self._webhook.id)
            else:
                trouble = TROUBLE
                continue
            await _rest(self._stopping, trouble)
            trouble = min(2 * trouble, MOST_TROUBLE)

    async def round(self) -> float | None:
        """Do what can be done; return how long to rest then, in seconds; None: for a while."""
        deps, moment = self._deps, self._deps.monotonic()
        if self._breaker.holds(moment):
            return self._breaker.until - moment
        heads = await self._heads()
        sight = look(heads, self._breaker, moment=moment, now_ms=deps.now_ms())
        work = await self._work(heads, sight)
        if not work.lanes and not work.behind and not self._is_to_note(work, moment):
            return 0.0 if work.more else sight.pause
        ledger = await self._deliver(work, probe=sight.probe)
        ledger.waiting += work.behind
        await self._commit(
            Round(
                place=work.place or self._place,
                attempts=ledger.attempts,
                waiting=ledger.waiting,
                taken=ledger.taken,
                hasten=ledger.hasten,
                disabled=ledger.disabled,
                failing_since_ms=self._failing_since,
            )
        )
        return 0.0

    def _is_to_note(self, work: Work, moment: float) -> bool:
        """Pass over events that are not wanted; tell whether it is time to commit that."""
        if work.place is not None:
            self._place = work.place
            if self._passed_over is None:
                self._passed_over = moment
        return self._passed_over is not None and moment - self._passed_over >= IDLE

    # ---- what there is to do ----

    async def _heads(self) -> Sequence[Waiting]:
        if not self._may_wait:
            return ()
        self._may_wait = False  # before the look: what is replayed meanwhile sets it again
        heads = await self._deps.store.lane_heads(self._webhook.id)
        self._may_wait = self._may_wait or bool(heads)
        return heads

    async def _work(self, heads: Sequence[Waiting], sight: Sight) -> Work:
        work = Work()
        blocked = blocked_lanes(heads)
        await self._read_on(work, blocked, probe=sight.probe)
        if sight.probe and work.lanes:
            return work
        for head in sight.lanes:
            rows = await self._deps.store.lane(
                self._webhook.id, head.lane, 1 if sight.probe else PAGE
            )
            if rows:
                work.lanes[head.lane] = [Item(waiting=w, event=e, queued=True) for w, e in rows]
        return work

    async def _read_on(self, work: Work, blocked: set[str], *, probe: bool) -> None:
        """Read the log from the place on; of a probe up to the first event that can be sent."""
        webhook, now = self._webhook, self._deps.now_ms()
        rows = await self._deps.store.events(
            webhook.workspace_id, after=self._place, limit=PAGE, session_id=webhook.session_id
        )
        work.more = len(rows) == PAGE
        for event in rows:
            work.place = event.id
            if not interests(webhook, event.type):
                continue
            lane = event.session_id or NO_SESSION
            new = Waiting(event_id=event.id, type=event.type, lane=lane, next_ms=now)
            if lane in blocked:
                work.behind.append(new)
                continue
            item = Item(waiting=new, event=event, queued=False)
            work.lanes.setdefault(lane, []).append(item)
            if probe:
                return

    # ---- doing it ----

    async def _deliver(self, work: Work, *, probe: bool) -> Ledger:
        ledger = Ledger()
        messages = await self._messages(work)
        secrets = self._signing()
        async with asyncio.TaskGroup() as group:
            for items in work.lanes.values():
                group.create_task(self._lane(items, messages, secrets, ledger, probe=probe))
        return ledger

    async def _lane(
        self,
        items: Sequence[Item],
        messages: Mapping[str, MessageRow],
        secrets: Sequence[str],
        ledger: Ledger,
        *,
        probe: bool,
    ) -> None:
        async with self._slots:
            for index, item in enumerate(items):
                allowed = probe or (self._breaker.closed and not self._held())
                if self._stopping.is_set() or not allowed or ledger.disabled is not None:
                    ledger.keep(items[index:])
                    return
                if item.event is None:
                    self._bury(item, Verdict.EVENT_GONE, ledger)
                elif not await self._send(item, item.event, messages, secrets, ledger):
                    ledger.keep(items[index + 1 :])
                    return

    def _held(self) -> bool:
        return self._breaker.holds(self._deps.monotonic())

    async def _send(
        self,
        item: Item,
        event: EventRow,
        messages: Mapping[str, MessageRow],
        secrets: Sequence[str],
        ledger: Ledger,
    ) -> bool:
        deps = self._deps
        try:
            message = messages.get(message_id(event))
            body = deps.render(event, message, self._webhook.messages)
        except Exception:  # the border: one event must not hold up all others for ever
            log.exception("webhook_event_not_rendered", event_id=event.id)
            self._bury(item, Verdict.NOT_RENDERED, ledger)
            return True
        answer = await deps.sender.send(self._webhook.url, secrets, event.id, body)
        deps.telemetry.attempts.labels(verdict=answer.verdict.value).inc()
        ledger.note(item, answer)
        if answer.verdict is Verdict.DELIVERED:
            ledger.taken += [event.id] if item.queued else []
            ledger.hasten |= not self._breaker.closed
            self._breaker = self._breaker.succeeded()
            self._failing_since = None
            if not item.waiting.attempts:
                seconds = (answer.at_ms + answer.took_ms - event.created_ms) / 1000
                deps.telemetry.seconds.observe(max(seconds, 0.0))
            return True
        self._failed(item, answer, ledger)
        return False

    def _failed(self, item: Item, answer: Answer, ledger: Ledger) -> None:
        deps = self._deps
        if self._failing_since is None:
            self._failing_since = answer.at_ms
        was_closed = self._breaker.closed
        self._breaker = self._breaker.failed(deps.monotonic(), answer.retry_after, deps.uniform)
        if was_closed and not self._breaker.closed:
            code = answer.verdict.value
            log.warning("webhook_breaker_opened", webhook_id=self._webhook.id, code=code)
        after = after_failure(item.waiting, answer, deps.rules, deps.uniform)
        ledger.waiting.append(after)
        if after.dead:
            self._tell_dead(after)
        if answer.verdict is Verdict.GONE:
            ledger.disabled = Disabled.GONE
        elif too_long(self._failing_since, answer.at_ms, deps.rules):
            ledger.disabled = Disabled.FAILING

    def _bury(self, item: Item, verdict: Verdict, ledger: Ledger) -> None:
        """Give up an event of which there is nothing to send."""
        dead = replace(item.waiting, dead=True, code=verdict.value, status=None)
        ledger.waiting.append(dead)
        self._tell_dead(dead)

    def _tell_dead(self, waiting: Waiting) -> None:
        self._deps.telemetry.dead_letters.inc()
        log.warning(
            "webhook_event_given_up",
            webhook_id=self._webhook.id,
            event_id=waiting.event_id,
            attempts=waiting.attempts,
            code=waiting.code,
        )

    async def _messages(self, work: Work) -> Mapping[str, MessageRow]:
        if not self._webhook.messages:
            return {}
        events = (item.event for items in work.lanes.values() for item in items)
        ids = {message_id(event) for event in events if event is not None} - {""}
        if not ids:
            return {}
        return await self._deps.store.messages_by_id(self._webhook.workspace_id, ids)

    def _signing(self) -> Sequence[str]:
        """Return the secrets that sign now, the current one first."""
        webhook, context = self._webhook, secret_context(self._webhook.id)
        sealed = [webhook.secret]
        if webhook.previous_secret and self._deps.now_ms() < (webhook.previous_until_ms or 0):
            sealed.append(webhook.previous_secret)
        return [self._deps.secrets.open(text, context).decode() for text in sealed]

    # ---- the end of a round ----

    async def _commit(self, done: Round) -> None:
        """Commit what came of a round; what was delivered is not to be sent again for a lock."""
        trouble = TROUBLE
        while True:
            try:
                there = await self._deps.store.record_round(
                    self._webhook.id, done, self._deps.now_ms()
                )
                break
            except StoreError as error:
                log.warning("webhook_round_not_noted", webhook_id=self._webhook.id, code=error.code)
                if self._stopping.is_set():
                    return
            await _rest(self._stopping, trouble)
            trouble = min(2 * trouble, MOST_TROUBLE)
        self._place = done.place or self._place
        self._passed_over = None
        self._may_wait = self._may_wait or bool(done.waiting)
        if done.disabled is not None:
            reason = done.disabled.value
            self._deps.telemetry.disabled.labels(reason=reason).inc()
            log.warning("webhook_disabled", webhook_id=self._webhook.id, reason=reason)
        if done.disabled is not None or not there:
            self._stopping.set()


async def _rest(until: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await until.wait()
    except TimeoutError:
        return
