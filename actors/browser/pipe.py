"""pyppeteer's CDP connection over the two pipes of `--remote-debugging-pipe`.

Every override of pyppeteer 2.0.0 is here, each with the defect that it answers. What they have in
common: stock pyppeteer assumes a websocket that is always writable, calls that are never given up,
and a browser that says good-bye.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import structlog
from pyee import EventEmitter
from pyppeteer.connection import CDPSession, Connection

from actors.browser.cdp_errors import ConnectionClosed, ProtocolFailed, TargetLost
from actors.browser.framing import FrameReader, FrameWriter, WriteBufferFull

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from pyppeteer.errors import NetworkError

log = structlog.get_logger(__name__)

MAX_FRAME: Final = 256 * 1024 * 1024
MAX_UNSENT: Final = 64 * 1024 * 1024


class PipeConnection(Connection):  # type: ignore[misc]
    """A CDP connection on two file descriptors, which it owns and closes.

    Runs on `loop` only. Calls return futures that may be cancelled at any time: a late answer to
    one is dropped. `closed` is called once, from the loop, when the pipe has ended.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        read_fd: int,
        write_fd: int,
        closed: Callable[[], None] = lambda: None,
        max_frame: int = MAX_FRAME,
        max_unsent: int = MAX_UNSENT,
    ) -> None:
        # Connection.__init__ dials a websocket and starts a task for it: only its base is called.
        EventEmitter.__init__(self)
        self._url = "pipe:"
        self._loop = loop
        self._lastId = 0
        self._callbacks: dict[int, asyncio.Future[Any]] = {}
        self._sessions: dict[str, PipeSession] = {}
        self._closeCallback: Callable[[], None] | None = None
        self._connected = True
        self._closed = closed
        self.late_replies = 0
        self._writer = FrameWriter(loop, write_fd, max_unsent, self._fail)
        self._reader = FrameReader(loop, read_fd, max_frame, self._receive, self._fail)

    # ---- calls ----------------------------------------------------------------------------------

    def send(self, method: str, params: dict[str, Any] | None = None) -> asyncio.Future[Any]:
        """Call a browser-level CDP method.

        pyppeteer starts a task for each message (which loses their order and outlives the loop) and
        raises when closed, inside event handlers too. Here the message is written at once, and a
        closed connection answers with a failed future.
        """
        return self.call(method, params, None)

    def call(
        self, method: str, params: dict[str, Any] | None, session: PipeSession | None
    ) -> asyncio.Future[Any]:
        """Call a CDP method on the browser or, flat, on an attached session."""
        future: asyncio.Future[Any] = self._loop.create_future()
        future.add_done_callback(_look_at)
        if not self._connected:
            future.set_exception(ConnectionClosed(f"{method}: the pipe to the browser is closed"))
            return future
        self._lastId += 1
        number = self._lastId
        message: dict[str, Any] = {"id": number, "method": method, "params": params or {}}
        calls = self._callbacks
        if session is not None:
            message["sessionId"] = session.session_id
            calls = session.calls
        calls[number] = future
        # pyppeteer keeps an abandoned future until its answer comes, which then kills its receive
        # loop with InvalidStateError. Here a future that is done or cancelled leaves by itself.
        future.add_done_callback(lambda _: calls.pop(number, None))
        future.method = method  # type: ignore[attr-defined]
        try:
            self._writer.write(json.dumps(message, separators=(",", ":")).encode())
        except WriteBufferFull as error:
            self._fail(error)
        return future

    # ---- answers and events ---------------------------------------------------------------------

    def _receive(self, frame: bytes) -> None:
        try:
            message = json.loads(frame)
        except (ValueError, RecursionError) as error:
            self._fail(error)
            return
        if not isinstance(message, dict):
            self._fail(ValueError("a CDP frame is not an object"))
            return
        session_id = message.get("sessionId")
        session = self._sessions.get(session_id) if isinstance(session_id, str) else None
        number = message.get("id")
        if isinstance(number, int):
            calls = self._callbacks if session_id is None else session.calls if session else {}
            self._answer(calls.get(number), message)
        elif session_id is None:
            self._happened(self, message)
        elif session is not None:
            self._happened(session, message)

    def _answer(self, future: asyncio.Future[Any] | None, message: dict[str, Any]) -> None:
        if future is None or future.done():
            self.late_replies += 1
            return
        error = message.get("error")
        if error is None:
            future.set_result(message.get("result"))
        else:
            text = error.get("message") if isinstance(error, dict) else None
            method = future.method  # type: ignore[attr-defined]
            future.set_exception(ProtocolFailed(f"{method}: {text or 'unknown error'}"))

    def _happened(self, emitter: EventEmitter, message: dict[str, Any]) -> None:
        method, params = message.get("method"), message.get("params")
        if not isinstance(method, str) or not isinstance(params, dict):
            return
        if method == "Target.detachedFromTarget":
            lost = self._sessions.pop(params.get("sessionId", ""), None)
            if lost is not None:
                lost.fail(TargetLost("the page's debugging session was detached"))
                lost.emit("Inspector.detached", params)
        try:
            emitter.emit(method, params)
        except Exception:
            # pyppeteer's handlers raise on events that they did not expect (a target that they do
            # not know, a context that is gone); stock, that ends the receive loop for good.
            log.exception("cdp_event_handler_failed", cdp_event=method)

    # ---- sessions -------------------------------------------------------------------------------

    async def createSession(self, targetInfo: dict[str, Any]) -> PipeSession:  # noqa: N802, N803
        """Attach to a target, flat: pyppeteer's nested messages are JSON in JSON, both ways."""
        target = {"targetId": targetInfo["targetId"], "flatten": True}
        answer = await self.send("Target.attachToTarget", target)
        session = PipeSession(self, targetInfo["type"], answer["sessionId"], self._loop)
        self._sessions[session.session_id] = session
        return session

    # ---- the end --------------------------------------------------------------------------------

    def _fail(self, error: Exception | None) -> None:
        """End of file (error None), or a reason to give the connection up."""
        if error is not None and self._connected:
            log.warning("cdp_connection_failed", error=type(error).__name__)
        self.close()

    def close(self) -> None:
        """Close both descriptors and fail everything that waits. Idempotent.

        pyppeteer's `_on_close` sets exceptions on futures that are already done, and leaves the
        calls of a session pending when that raises.
        """
        if not self._connected:
            return
        self._connected = False
        self._reader.close()
        self._writer.close()
        gone = ConnectionClosed("the pipe to the browser closed")
        _fail_all(self._callbacks, gone)
        for session in list(self._sessions.values()):
            session.fail(gone)
        self._sessions.clear()
        callback, self._closeCallback = self._closeCallback, None
        if callback is not None:
            callback()
        self._closed()

    async def dispose(self) -> None:
        """Close; the name that pyppeteer calls."""
        self.close()


class PipeSession(CDPSession):  # type: ignore[misc]
    """One attached target. Its calls fail, all at once, when it is lost."""

    def __init__(
        self,
        connection: PipeConnection,
        target_type: str,
        session_id: str,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(connection, target_type, session_id, loop)
        self._pipe = connection
        self.lost: NetworkError | None = None
        self.session_id = session_id
        self.calls: dict[int, asyncio.Future[Any]] = {}

    def send(self, method: str, params: dict[str, Any] | None = None) -> asyncio.Future[Any]:
        """Call a CDP method on this target; a lost session answers with a failed future."""
        if self.lost is None:
            return self._pipe.call(method, params, self)
        future: asyncio.Future[Any] = self._loop.create_future()
        future.add_done_callback(_look_at)
        future.set_exception(self.lost)
        return future

    def fail_pending(self, error: NetworkError) -> None:
        """Fail what waits for an answer that can't come: after a crash Chromium never sends one."""
        _fail_all(self.calls, error)

    def fail(self, error: NetworkError) -> None:
        """The session is over: fail what waits and every later call."""
        self.lost = error
        self.fail_pending(error)


def _fail_all(calls: dict[int, asyncio.Future[Any]], error: NetworkError) -> None:
    for future in list(calls.values()):
        if not future.done():  # one exception each: they gather the tracebacks of who awaits them
            future.set_exception(type(error)(*error.args))
    calls.clear()


def _look_at(future: asyncio.Future[Any]) -> None:
    """Mark an error as seen: pyppeteer itself drops futures, which asyncio then complains about."""
    if not future.cancelled():
        future.exception()
