"""Requests with an idempotency key in the paper world: made, and made again whenever one likes."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from actors.messages import OutboxChanged
from storage.acceptance import KeyReused, RequestKey
from storage.messages import MessageRow, NewOutbound
from tests.integration.outbox_support import key

if TYPE_CHECKING:
    from storage.tenants import PlanLimitReached
    from tests.integration.delivery_world import World


@dataclass(frozen=True)
class Post:
    """A request that was answered, whether or not its client has heard the answer."""

    key: RequestKey
    new: NewOutbound
    row: MessageRow


class Posts:
    """What the API does with a request, every time it comes; each time it allocates an id."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._ids = itertools.count()
        self.made: list[Post] = []

    def post(self, chat: str, *, times: int = 1) -> Post:
        """Post a message under a new key, `times` at once."""
        world, number = self._world, len(self._world.accepted)
        asked = key(f"key {number}", f"text {number} to {chat}")
        new = NewOutbound(
            session_id=world.session_id,
            chat=chat,
            wa_id="",
            body=f"text {number}",
            now_ms=world.now_ms,
        )
        rows = world.run(self._all_at_once(asked, new, times))
        assert len({row.id for row in rows}) == 1, "one key, and more than one message"
        post = Post(asked, new, rows[0])
        self.made.append(post)
        world.accepted.append(post.row)
        self._tell()
        return post

    def again(self, which: int) -> None:
        """Post one again: it is answered with the message that it made, whatever came since."""
        world, post = self._world, self.made[which % len(self.made)]
        before = world.run(
            world.store.accepted_before(world.workspace_id, world.session_id, post.key)
        )
        assert [row.id for row in before.messages.values()] == [post.row.id]
        [row] = world.run(self._all_at_once(post.key, post.new, 1))
        assert row.id == post.row.id, "posted again, it is another message"
        self._tell()

    def other_body(self, which: int) -> None:
        """Post another message under a key that was used: it is refused."""
        world, post = self._world, self.made[which % len(self.made)]
        other = replace(post.key, body_hash=key("", "another body").body_hash)
        new = replace(post.new, body="another text")
        with pytest.raises(KeyReused):
            world.run(self._all_at_once(other, new, 1))
        with pytest.raises(KeyReused):
            world.run(world.store.accepted_before(world.workspace_id, world.session_id, other))
        self._tell()

    def check(self) -> None:
        """Raise AssertionError if something was stored or sent that nobody asked for."""
        world = self._world
        asked = {row.wa_id for row in world.accepted}
        stored = world.run(world.store.messages(world.workspace_id, world.session_id, limit=1000))
        assert {row.wa_id for row in stored} == asked, "a message that nobody asked for"
        assert {arrival.wa_id for arrival in world.wire} <= asked, "and it was sent"

    async def _all_at_once(
        self, asked: RequestKey, new: NewOutbound, times: int
    ) -> list[MessageRow]:
        return await asyncio.gather(*(self._accept(asked, new) for _ in range(times)))

    async def _accept(self, asked: RequestKey, new: NewOutbound) -> MessageRow:
        world = self._world
        items = {0: replace(new, wa_id=f"3EB1{next(self._ids):018X}", now_ms=world.now_ms)}
        found = await world.store.accept_messages(
            world.workspace_id, world.session_id, items, key=asked
        )
        answer: MessageRow | PlanLimitReached | None = found[0]
        assert isinstance(answer, MessageRow)
        return answer

    def _tell(self) -> None:
        world = self._world
        world.deps.bells.ring(OutboxChanged(session_id=world.session_id))
