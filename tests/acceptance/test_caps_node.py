"""What a number may send, over HTTP: what a sender is told, and what a SIGKILL does not change."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.conftest import Node, connect, contact
from tests.waiting import eventually_async

if TYPE_CHECKING:
    from collections.abc import Callable

    from supervisor.demo_parts import Api
    from supervisor.processes import SimulatorPlace

pytestmark = pytest.mark.acceptance

QUEUE = "/v1/sessions/one/queue"
MESSAGES = "/v1/sessions/one/messages"


async def states(api: Api) -> list[str]:
    """Return the states of the messages sent, oldest first."""
    found = (await api.get(f"{MESSAGES}?direction=outbound"))["messages"]
    return [message["state"] for message in reversed(found)]


async def two_are_sent(api: Api) -> None:
    async def look() -> bool:
        found = await states(api)
        return found[2:] == ["accepted"] * 2 and not {"accepted", "sending"} & set(found[:2])

    await eventually_async(look)


async def test_a_sender_is_told_when_and_a_killed_node_lets_none_through(
    make_node: Callable[..., Node], place: SimulatorPlace
) -> None:
    node = make_node(place, WAFLEET_SEND_PER_MINUTE="2")
    node.start()
    async with node.api() as api:
        await connect(api, "one")
        to = await contact(api)
        posted: list[dict[str, Any]] = [
            await api.post(MESSAGES, {"to": to, "text": f"text {number}"}) for number in range(4)
        ]
        assert posted[0]["queue"]["position"] == 1
        assert posted[3]["queue"]["bound_by"] == "minute"
        await two_are_sent(api)
        before = await api.get(QUEUE)
        assert (before["depth"], before["bound_by"]) == (2, "minute")
        assert [message["id"] for message in before["messages"]] == [
            message["id"] for message in posted[2:]
        ]
    node.program.kill()
    node.start()
    async with node.api() as api:
        await api.session_becomes("one", "connected", "ready")
        await two_are_sent(api)
        after = await api.get(QUEUE)
        assert (after["depth"], after["bound_by"]) == (2, "minute")
        moments = [datetime.fromisoformat(each["earliest_at"]) for each in (before, after)]
        assert abs((moments[1] - moments[0]).total_seconds()) < 1
    node.program.stop()
