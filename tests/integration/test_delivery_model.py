"""Whatever dies, whenever it dies: nothing is lost, seen twice, out of order, or above a cap.

Hypothesis lets things happen one by one and kills browser and supervisor between any two of them,
also with a login that is put back; the store is real, WhatsApp is on paper. Requests with a
key come again at any time.
"""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from storage.messages import Priority
from storage.store import StoreError
from tests.integration.delivery_posts import Posts
from tests.integration.delivery_world import paper_world

pytestmark = pytest.mark.integration

CHATS = ("15551230001@c.us", "15551230002@c.us", "120363000000000001@g.us")
FAULTS = ("never", "local", "wire", "answer", "silent", "unconfirmed", "refused")


class Deliveries(RuleBasedStateMachine):
    """Accept, let happen, kill; and look at all times."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.world = self.stack.enter_context(paper_world())
        self.posts = Posts(self.world)

    @rule(
        chat=st.sampled_from(CHATS),
        priority=st.sampled_from(Priority),
        send_in=st.sampled_from((None, None, None, 5_000, 90_000)),
        expires_in=st.sampled_from((None, None, None, 20_000, 600_000)),
    )
    def accept(
        self, chat: str, priority: Priority, send_in: int | None, expires_in: int | None
    ) -> None:
        self.world.accept(chat, priority=priority, send_in=send_in, expires_in=expires_in)

    @rule()
    def accept_again(self) -> None:
        """The same WhatsApp id is never accepted twice."""
        if self.world.accepted and self.world.accepted[-1].wa_id.startswith("3EB0"):
            row = self.world.accepted.pop()
            with pytest.raises(StoreError):
                self.world.accept(row.chat)
            self.world.accepted.append(row)

    @rule(chat=st.sampled_from(CHATS), times=st.sampled_from((1, 1, 2)))
    def post(self, chat: str, times: int) -> None:
        """With an idempotency key; its client may never hear the answer."""
        self.posts.post(chat, times=times)

    @precondition(lambda self: self.posts.made)
    @rule(which=st.integers(0, 100))
    def post_again(self, which: int) -> None:
        """Whatever died meanwhile: it is the same message, and none that is new."""
        self.posts.again(which)

    @precondition(lambda self: self.posts.made)
    @rule(which=st.integers(0, 100))
    def post_another_body(self, which: int) -> None:
        self.posts.other_body(which)

    @rule(choices=st.lists(st.integers(0, 3), min_size=1, max_size=12))
    def happen(self, choices: list[int]) -> None:
        for choice in choices:
            self.world.step(choice)

    @rule()
    def rest(self) -> None:
        self.world.drain()

    @rule(ms=st.sampled_from((1, 700, 5_000, 61_000, 3_700_000)))
    def pass_time(self, ms: int) -> None:
        self.world.pass_time(min(ms, 500) if self.world.waiting else ms)

    @rule(fault=st.sampled_from(FAULTS))
    def break_next(self, fault: str) -> None:
        self.world.fault = fault

    @rule()
    def mend(self) -> None:
        self.world.mend()

    @rule(restore=st.booleans())
    def kill_supervisor(self, restore: bool) -> None:
        self.world.kill_supervisor(restore=restore)

    @rule(restore=st.booleans())
    def kill_browser(self, restore: bool) -> None:
        self.world.kill_browser(restore=restore)

    @rule()
    def keep_archive(self) -> None:
        self.world.keep_archive()

    @rule(deaf=st.booleans())
    def stop_hearing(self, deaf: bool) -> None:
        self.world.deaf = deaf

    @invariant()
    def nothing_is_wrong(self) -> None:
        self.world.check()
        self.posts.check()

    def teardown(self) -> None:
        try:
            self.world.settle()
            for which in range(len(self.posts.made)):
                self.posts.again(which)
            self.world.settle()
            self.world.check()
            self.posts.check()
            self.world.check_ends()
        finally:
            self.stack.close()


Deliveries.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestDeliveries = pytest.mark.integration(Deliveries.TestCase)
