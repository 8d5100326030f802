"""Webhooks of a running node: a real endpoint is told, whatever the node lives through."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from tests.integration.webhook_support import Got, endpoint
from tests.waiting import eventually_async

if TYPE_CHECKING:
    from collections.abc import Callable

    from supervisor.processes import SimulatorPlace
    from tests.acceptance.conftest import Node

pytestmark = pytest.mark.acceptance

SETTINGS = {
    "WAFLEET_OUTBOUND_PRIVATE_NETWORKS": "127.0.0.0/8",
    "WAFLEET_WEBHOOK_RETRIES": "0.2 0.2 0.2 0.2 3600",
}


async def test_nothing_is_lost_over_a_dead_endpoint_and_a_killed_node(
    make_node: Callable[..., Node], place: SimulatorPlace
) -> None:
    """Told once it is up, signed with the secret that was shown, in order, and no event twice."""
    up = asyncio.Event()

    async def later(_: Got) -> web.StreamResponse:
        return web.Response(status=200 if up.is_set() else 503)

    node = make_node(place, **SETTINGS)
    node.start()
    async with endpoint(later) as there:
        async with node.api() as api:
            hook = await api.post("/v1/webhooks", {"url": there.url})
            for number in range(3):
                await api.post("/v1/sessions", {"name": f"s{number}"})
            path = f"/v1/webhooks/{hook['id']}"

            async def failing() -> bool:
                return (await api.get(path))["failing_since"] is not None

            await eventually_async(failing)
        node.program.kill()
        node.start()
        async with node.api() as api:
            await api.post("/v1/sessions", {"name": "s3"})
            up.set()
            events = (await api.get("/v1/events"))["events"]
            wanted = [event["id"] for event in events]

            async def told() -> bool:
                return set(there.ids()) >= set(wanted)

            await eventually_async(told)
            assert sorted(there.ids()) == wanted
            assert all(got.is_signed_with(hook["secret"]) for got in there.taken)
            attempts = (await api.get(f"{path}/attempts?failed=true"))["attempts"]
            assert {attempt["status"] for attempt in attempts} == {503}
            metrics = await api.text("/metrics")
            assert "wafleet_webhooks_enabled 1.0" in metrics
            assert f'verdict="delivered"}} {len(wanted)}.0' in metrics
        assert await asyncio.to_thread(node.program.stop) == 0
    assert hook["secret"] not in node.log
    assert there.url not in node.log
