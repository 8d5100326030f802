"""Accept messages for sending: one, or many in order, each request once under its key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import structlog

from actors.messages import OutboxChanged
from api.drafts import Drafts
from api.errors import (
    ApiError,
    Problem,
    from_store,
    message_gone,
    plan_limit_reached,
    provider_unsupported,
    session_stopped,
)
from api.idempotency import InFlight
from api.outgoing import outbound
from api.parsing import validate
from api.schemas_messages import NewMessageOfAnyKind
from api.views import as_accepted
from storage.messages import MessageRow, Priority
from storage.store import Desired, Provider, SessionStatus, StoreError
from storage.tenants import PlanLimitReached

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from api.ports import ApiDeps
    from api.schemas_messages import AnyMessage
    from storage.acceptance import AcceptedBefore, RequestKey
    from storage.audit import NewAccess
    from storage.messages import NewOutbound
    from storage.store import SessionRow

CHUNK: Final = 25
"""How many messages of a batch are one transaction: others write between two of them."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A message as it was accepted; `again`: it had been before, under the same key.

    `ahead` of it wait so many in its queue, None: it does not wait (any more). `noted`: the access
    log has it.
    """

    row: MessageRow
    session_status: str
    ahead: int | None
    again: bool
    noted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What became of each message; `again` as above, of all that were accepted."""

    results: Sequence[MessageRow | Problem]
    session_status: str
    again: bool


class Accepting:
    """What the routes share. Sessions are those of the caller, with their state as of now."""

    def __init__(self, deps: ApiDeps) -> None:
        self._deps = deps
        self._store = deps.store
        self._drafts = Drafts(deps.store, deps.uploads)
        self._in_flight = InFlight()

    async def one(
        self,
        session: SessionRow,
        body: AnyMessage,
        key: RequestKey | None,
        access: NewAccess | None,
    ) -> Accepted:
        """Accept one message; it is on the disk then, and waits until the session is connected.

        `access` is the entry about it, written with it. Raises StoreErrors, and ApiErrors for what
        can't be sent, now or ever.
        """
        with self._in_flight.hold(session.workspace_id, key):
            before = await self._before(session, key)
            if before is not None and 0 in before.messages:
                row = _kept(before.messages[0])
                ahead = await self._store.waiting_before(row.id)
                return Accepted(
                    row=row, session_status=before.session_status, ahead=ahead, again=True
                )
            refusal = _refusal(session)
            if refusal is not None:
                raise refusal
            new = await outbound(self._deps, self._drafts, session, body, Priority.CONVERSATION)
            taken = await self._store.accept_one(session.workspace_id, new, key=key, access=access)
        if isinstance(taken.answer, PlanLimitReached):
            raise plan_limit_reached(taken.answer, new.now_ms)
        self.announce(session.id)
        return Accepted(
            row=_kept(taken.answer),
            session_status=session.status,
            ahead=taken.ahead,
            again=False,
            noted=access is not None,
        )

    async def many(
        self, session: SessionRow, bodies: Sequence[dict[str, Any]], key: RequestKey | None
    ) -> Batch:
        """Accept those that can be, in order. Raises as above, if that concerns all of them.

        A repeat tries only those again that were not accepted the first time.
        """
        with self._in_flight.hold(session.workspace_id, key):
            before = await self._before(session, key)
            refusal = _refusal(session)
            if before is None and refusal is not None:
                raise refusal
            results: dict[int, MessageRow | Problem] = {}
            if before is not None:
                results = {place: _shown(row) for place, row in before.messages.items()}
            left = [place for place in range(len(bodies)) if place not in results]
            accepted = 0
            for start in range(0, len(left), CHUNK):
                chunk = {place: bodies[place] for place in left[start : start + CHUNK]}
                try:
                    news = await self._checked(session, chunk, refusal, results)
                    found = await self._stored(session, news, key)
                except StoreError as error:
                    if not accepted and before is None:
                        raise
                    # What was accepted stays so; the client has to learn of it.
                    problem = from_store(error)
                    log.warning("batch_cut_short", session_id=session.id, code=error.code)
                    results |= dict.fromkeys((p for p in left if p not in results), problem)
                    break
                results |= found
                accepted += sum(isinstance(row, MessageRow) for row in found.values())
        return Batch(
            results=[results[place] for place in range(len(bodies))],
            session_status=session.status if before is None else before.session_status,
            again=before is not None and not accepted,
        )

    def announce(self, session_id: str) -> None:
        """Let the session look at its outbox."""
        if not self._deps.fleet.tell(OutboxChanged(session_id=session_id)):
            # It is stored all the same; the session finds it when it connects the next time.
            log.warning("outbox_notice_failed", session_id=session_id)

    async def _before(self, session: SessionRow, key: RequestKey | None) -> AcceptedBefore | None:
        if key is None:
            return None
        return await self._store.accepted_before(session.workspace_id, session.id, key)

    async def _checked(
        self,
        session: SessionRow,
        bodies: Mapping[int, dict[str, Any]],
        refusal: ApiError | None,
        results: dict[int, MessageRow | Problem],
    ) -> dict[int, NewOutbound]:
        """Return what can be accepted; tell of the rest in `results`."""
        news = {}
        for place, body in bodies.items():
            try:
                wanted = validate(NewMessageOfAnyKind, body).root
                if refusal is not None:
                    raise refusal
                news[place] = await outbound(
                    self._deps, self._drafts, session, wanted, Priority.BULK
                )
            except ApiError as error:
                results[place] = error.problem
        return news

    async def _stored(
        self, session: SessionRow, news: Mapping[int, NewOutbound], key: RequestKey | None
    ) -> dict[int, MessageRow | Problem]:
        if not news:
            return {}
        now_ms = next(iter(news.values())).now_ms
        found = await self._store.accept_messages(session.workspace_id, session.id, news, key=key)
        self.announce(session.id)
        return {
            place: plan_limit_reached(answer, now_ms).problem
            if isinstance(answer, PlanLimitReached)
            else _shown(answer)
            for place, answer in found.items()
        }


def _refusal(session: SessionRow) -> ApiError | None:
    """Return why the session takes no messages; a deactivated one is refused by the store.

    A session that is not meant to run would let them wait for ever.
    """
    if session.provider is not Provider.WEBJS:
        return provider_unsupported()
    runs = session.desired is Desired.RUNNING or session.status is SessionStatus.CONNECTED
    if session.is_active and not runs:
        return session_stopped(session.status, session.reason)
    return None


def _kept(row: MessageRow | None) -> MessageRow:
    if row is None:
        raise message_gone()
    return as_accepted(row)


def _shown(row: MessageRow | None) -> MessageRow | Problem:
    return message_gone().problem if row is None else as_accepted(row)
