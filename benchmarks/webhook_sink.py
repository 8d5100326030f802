"""The endpoints of `webhooks`, a process of their own: `python -m benchmarks.webhook_sink`.

Prints its port, then takes POSTs: on /fine each is answered at once and noted, on /hang none ever
is. GET /report answers what came to /fine since the last report: [[id, milliseconds since its event
was committed], …].
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextlib import suppress
from datetime import datetime
from typing import Final

from aiohttp import web

HOST: Final = "127.0.0.1"


class Sink:
    """Notes what comes, and when."""

    def __init__(self) -> None:
        self._came: list[tuple[str, float]] = []

    async def fine(self, request: web.Request) -> web.Response:
        now = time.time()
        body = json.loads(await request.read())
        event = datetime.fromisoformat(body["timestamp"]).timestamp()
        self._came.append((body["id"], 1000 * (now - event)))
        return web.Response(status=204)

    async def hang(self, _: web.Request) -> web.Response:
        await asyncio.Event().wait()
        return web.Response(status=500)

    async def report(self, _: web.Request) -> web.Response:
        came, self._came = self._came, []
        return web.json_response(came)


async def serve() -> None:
    """Serve until killed."""
    sink, app = Sink(), web.Application()
    app.add_routes(
        [
            web.post("/fine", sink.fine),
            web.post("/hang", sink.hang),
            web.get("/report", sink.report),
        ]
    )
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    sys.stdout.write(f"{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    try:
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(serve())
