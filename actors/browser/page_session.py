"""One page over CDP: calls with deadlines, navigation, crash and document events.

pyppeteer's Page is not used: it enables seven CDP domains (each WebSocket frame of WhatsApp would
cross the pipe), attaches to every worker, and parses our binding's payloads as its own.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

from actors.browser.cdp_errors import TargetLost, to_driver_error
from actors.browser.driver import CallTimedOut, PageGone, PageUnreachable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from actors.browser.pipe import PipeSession


CLOCK_GLANCE: Final = 0.01
"""Seconds between two looks at a clock that may stand still."""

FILE: Final = "wafleetFile"
"""What an expression that is evaluated with a file calls it."""

_FILE_INPUT: Final = "Object.assign(document.createElement('input'), { type: 'file' })"


async def answered(
    future: asyncio.Future[Any], method: str, deadline: float, clock: Callable[[], float]
) -> Any:
    """Return a CDP call's answer, which may take `deadline` seconds of `clock`."""
    until = clock() + deadline
    left = deadline
    try:
        while not future.done() and left > 0:
            await asyncio.wait({future}, timeout=max(left, CLOCK_GLANCE))
            left = until - clock()
    finally:
        # Given up, or never to be waited for again: the connection drops a late answer.
        timed_out = future.cancel()
    if timed_out:
        raise CallTimedOut(f"{method} was not answered within {deadline:g} s")
    error = future.exception()
    if error is not None:
        raise to_driver_error(error) from error
    return future.result()


def _value(answer: dict[str, Any]) -> Any:
    """Return the JSON value in the answer to an evaluation. Raises PageGone."""
    if "exceptionDetails" in answer:
        raise PageGone("the page's JavaScript failed: reload the page")
    return answer.get("result", {}).get("value")


class PageSession:
    """The page's CDP session. Every method raises CallTimedOut, PageGone or ConnectionLost.

    `crashed` and `navigated` (new document's address) are called from the loop. `clock` gives the
    seconds that deadlines of calls are counted in: it stands still while the browser does.
    """

    def __init__(
        self,
        client: PipeSession,
        *,
        crashed: Callable[[], None],
        navigated: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._crashed = crashed
        self._navigated = navigated
        self._clock = clock
        self._main_loader = ""
        self._loaded: set[tuple[str, str]] = set()
        self._load_happened = asyncio.Event()
        self._crash_happened = asyncio.Event()
        self.crashed_now = False
        client.on("Inspector.targetCrashed", self._on_crashed)
        client.on("Inspector.detached", self._on_crashed)  # closed: as good as crashed
        client.on("Page.frameNavigated", self._on_frame_navigated)
        client.on("Page.lifecycleEvent", self._on_lifecycle)
        client.on("Page.javascriptDialogOpening", self._on_dialog)

    def on(self, event: str, handler: Callable[[dict[str, Any]], None]) -> None:
        """Have `handler` called with the parameters of each CDP event of this name."""
        self._client.on(event, handler)

    async def prepare(self, deadline: float) -> None:
        """Enable what this class needs."""
        await self.call("Page.enable", {}, deadline)
        await self.call("Page.setLifecycleEventsEnabled", {"enabled": True}, deadline)
        await self.call("Inspector.enable", {}, deadline)
        # Measured: without it bindings are not installed in new documents.
        await self.call("Runtime.enable", {}, deadline)

    async def call(self, method: str, params: dict[str, Any], deadline: float) -> Any:
        """Call a CDP method and wait at most `deadline` seconds for its answer."""
        return await answered(self._client.send(method, params), method, deadline, self._clock)

    async def evaluate(self, expression: str, deadline: float) -> Any:
        """Return the JSON value of a JavaScript expression, awaited if it is a promise."""
        params = {"expression": expression, "awaitPromise": True, "returnByValue": True}
        return _value(await self.call("Runtime.evaluate", params, deadline))

    async def evaluate_with_file(self, expression: str, file: Path, deadline: float) -> Any:
        """As `evaluate`, while FILE names the file in the expression.

        The page reads it from the disk by itself, as one that a person has chosen: its bytes pass
        neither through us nor through the pipe.
        """
        until = self._clock() + deadline
        made = await self.call("Runtime.evaluate", {"expression": _FILE_INPUT}, deadline)
        thing = made["result"]["objectId"]
        try:
            params = {"files": [str(file)], "objectId": thing}
            await self.call("DOM.setFileInputFiles", params, until - self._clock())
            params = {
                "functionDeclaration": f"function () {{ const {FILE} = this.files[0];"
                f" return {expression}; }}",
                "objectId": thing,
                "awaitPromise": True,
                "returnByValue": True,
            }
            answer = await self.call("Runtime.callFunctionOn", params, until - self._clock())
        finally:
            self._client.send("Runtime.releaseObject", {"objectId": thing})
        return _value(answer)

    async def navigate(self, url: str, deadline: float) -> None:
        """Load `url` and wait for its document's load event."""
        loop = asyncio.get_running_loop()
        until = loop.time() + deadline
        before = self._main_loader
        self._loaded.clear()
        answer = await self.call("Page.navigate", {"url": url}, deadline)
        if answer.get("errorText"):
            raise PageUnreachable(f"the page could not be loaded: {answer['errorText']}")
        self.crashed_now = False
        self._crash_happened.clear()
        # A redirect in the page makes one more loader: any but the old document's will do.
        while not any(
            f == answer.get("frameId") and loader != before for f, loader in self._loaded
        ):
            self._load_happened.clear()
            try:
                async with asyncio.timeout_at(until):
                    await self._load_happened.wait()
            except TimeoutError:
                raise CallTimedOut(f"the page did not load within {deadline:.0f} s") from None
            if self._client.lost is not None:
                raise to_driver_error(self._client.lost)
            if self.crashed_now:
                raise PageGone("the page crashed while it was loaded")

    def lost(self) -> None:
        """The connection closed: wake who waits for a load."""
        self._load_happened.set()

    async def crash(self, deadline: float) -> None:
        """Wait until it is known that the page's process is gone. Raises CallTimedOut."""
        try:
            async with asyncio.timeout(deadline):
                await self._crash_happened.wait()
        except TimeoutError:
            raise CallTimedOut("the page's processes did not end: stop the browser") from None

    def _on_crashed(self, _params: dict[str, Any]) -> None:
        self.crashed_now = True
        self._crash_happened.set()
        # Chromium leaves the calls of a crashed page unanswered.
        self._client.fail_pending(TargetLost("the page crashed"))
        self._load_happened.set()
        self._crashed()

    def _on_frame_navigated(self, params: dict[str, Any]) -> None:
        frame = params.get("frame", {})
        if not frame.get("parentId"):
            self._main_loader = str(frame.get("loaderId", ""))
            self._navigated(str(frame.get("url", "")))

    def _on_lifecycle(self, params: dict[str, Any]) -> None:
        if params.get("name") == "load":
            self._loaded.add((str(params.get("frameId")), str(params.get("loaderId"))))
            self._load_happened.set()

    def _on_dialog(self, _params: dict[str, Any]) -> None:
        # Nobody will ever answer it, and until then the page stands still.
        self._client.send("Page.handleJavaScriptDialog", {"accept": True})
