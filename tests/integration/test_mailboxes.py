"""How many messages wait for each actor, as /metrics shows it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from actors.base import tell
from actors.messages import StopKind
from tests.integration.fleet_world import world
from tests.waiting import eventually_async

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration


async def test_every_mailbox_is_shown_with_what_waits_in_it(tmp_path: Path) -> None:
    """Root, services and sessions; an actor that has ended is not."""
    async with world(tmp_path) as here:
        one, two = [await here.session(name) for name in ("one", "two")]
        for session_id in (one, two):
            await here.start(session_id)
            await here.child(session_id, 1)

        def depth(actor: str, session: str = "") -> float | None:
            labels = {"actor": actor, "session": session}
            return here.telemetry.registry.get_sample_value("wafleet_mailbox_depth", labels)

        gate = threading.Event()
        busy = await here.child(one, 1)
        tell(busy, gate)
        for _ in range(3):
            tell(busy, "waits")

        async def shown() -> bool:
            return depth("session", one) == 3.0

        await eventually_async(shown)
        gate.set()
        assert depth("root") is not None
        assert depth("pool") == 0.0
        await here.end(two, StopKind.STOP)
        assert depth("session", two) is None
