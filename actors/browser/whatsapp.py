"""One running Chromium with one WhatsApp page: the Browser port over CDP and the page adapter."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import structlog

from actors.browser.driver import (
    BrowserExited,
    BrowserFact,
    ConnectionLost,
    DocumentChanged,
    LoggedOut,
    NoteResult,
    Outgoing,
    PageCrashed,
    PageGone,
    PageRefused,
    PageView,
    SendResult,
    StopReport,
)
from actors.browser.facts import Rejected, decode_answer, decode_fact, decode_view
from actors.browser.freezer import Freezer
from actors.browser.launch_args import user_agent_override
from actors.browser.lists import decode_open_media, decode_page_answer, decode_piece, question
from actors.browser.logouts import LogoutWatch
from actors.browser.page_session import PageSession, answered
from actors.browser.page_source import PageNames, PageScripts, call_expression
from actors.upload_time import upload_seconds

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from actors.browser.driver import CopyReport
    from actors.browser.launch_args import BrowserOptions
    from actors.browser.pipe import PipeConnection, PipeSession
    from actors.browser.process import ChromiumProcess
    from actors.browser.profile import ProfileLock
    from actors.browser.reading import OpenMedia, PageAnswer, PageQuery, WantedMedia

log = structlog.get_logger(__name__)

EOF_GRACE: Final = 1.0
"""Seconds in which a browser that closed its pipe must end by itself."""


class WhatsAppBrowser:
    """Made by ChromiumDriver. Everything but `kill` runs on the loop it was made on."""

    def __init__(
        self,
        *,
        session_id: str,
        options: BrowserOptions,
        version: str,
        scripts: PageScripts,
        profile: Path,
        process: ChromiumProcess,
        connection: PipeConnection,
        lock: ProfileLock,
        sink: Callable[[BrowserFact], None],
    ) -> None:
        self._session_id = session_id
        self._options = options
        self._version = version
        self._scripts = scripts
        self._process = process
        self._freezer = Freezer(process, profile)
        self._connection = connection
        self._lock = lock
        self._sink = sink
        self._names = PageNames()
        self._page: PageSession | None = None
        self._stopping: asyncio.Task[StopReport] | None = None
        self._handed_over = False
        self._renewing = False
        self._exit_told = False
        self._logout_told = asyncio.Event()
        self._logouts = LogoutWatch()

    @property
    def pid(self) -> int:
        return self._process.pid

    # ---- what the driver does before it hands the browser over -----------------------------------

    def complaints(self) -> str:
        """Chromium's last lines on standard error, scrubbed."""
        return self._process.complaints()

    async def prepare(self, client: PipeSession) -> None:
        """Take the page: crash and dialog handling, user agent, binding, script.

        Facts are told from here on: a browser that was never handed over has none.
        """
        deadline = self._options.deadlines.launch
        page = PageSession(
            client,
            crashed=self._on_crashed,
            navigated=self._on_navigated,
            clock=self._freezer.active_time,
        )
        page.on("Runtime.bindingCalled", self._on_binding)
        self._page = page
        await page.prepare(deadline)
        override = user_agent_override(self._options, self._version)
        await page.call("Emulation.setUserAgentOverride", override, deadline)
        await page.call("Runtime.addBinding", {"name": self._names.binding}, deadline)
        source = self._scripts.source(
            self._names,
            inject_seconds=self._options.deadlines.inject,
            ready_seconds=self._options.deadlines.ready,
        )
        script = {"source": source, "runImmediately": False}
        await page.call("Page.addScriptToEvaluateOnNewDocument", script, deadline)
        self._handed_over = True

    def process_ended(self) -> None:
        """The main process ended: nothing can answer any more, and its children must go too."""
        self._connection.close()
        self._tell_exit()
        if self._stopping is None:
            self._stopping = asyncio.ensure_future(self._stop(0))

    def connection_ended(self) -> None:
        """The pipe closed: a browser that can't be told anything must not live on."""
        if self._page is not None:
            self._page.lost()
        if (
            self._stopping is None
        ):  # else it is on its way out, and may still be writing its profile
            asyncio.get_running_loop().call_later(EOF_GRACE, self._process.kill)

    # ---- the port -------------------------------------------------------------------------------

    async def open(self) -> None:
        deadlines = self._options.deadlines
        await self._ready_page().navigate(self._options.whatsapp_url, deadlines.open)

    async def send(self, message: Outgoing, *, again: bool = False) -> SendResult:
        args: dict[str, object] = {
            "chat": message.chat,
            "waId": message.wa_id,
            "kind": message.kind,
            "body": message.body,
            "content": dict(message.content),
            "again": again,
        }
        deadline = self._options.deadlines.send + upload_seconds(message.content)
        value = await self._ask("send", args, deadline, message.media)
        ack = value.get("ack") if isinstance(value, dict) else None
        if not isinstance(ack, int) or ack < 1:
            raise PageRefused("send_unconfirmed", "the page adapter gave no ack")
        return SendResult(wa_id=message.wa_id, ack=ack)

    async def lookup_ack(self, *, chat: str, wa_id: str) -> int | None:
        args: dict[str, object] = {"chat": chat, "waId": wa_id}
        value = await self._ask("lookupAck", args, self._options.deadlines.call)
        return value if isinstance(value, int) else None

    async def read(self, query: PageQuery) -> PageAnswer:
        function, args = question(query)
        value = await self._ask(function, args, self._options.deadlines.call)
        return decode_page_answer(query, value)

    async def open_media(self, wanted: WantedMedia) -> OpenMedia:
        args: dict[str, object] = {
            "chat": wanted.chat,
            "sender": wanted.sender,
            "waId": wanted.wa_id,
            "most": wanted.most,
        }
        return decode_open_media(await self._ask("openMedia", args, self._options.deadlines.media))

    async def read_media(self, media: OpenMedia, offset: int, length: int) -> bytes:
        args: dict[str, object] = {"handle": media.handle, "offset": offset, "length": length}
        return decode_piece(await self._ask("readMedia", args, self._options.deadlines.call))

    async def close_media(self, media: OpenMedia) -> None:
        await self._ask("closeMedia", {"handle": media.handle}, self._options.deadlines.call)

    async def reject_call(self, call_id: str) -> None:
        await self._ask("rejectCall", {"callId": call_id}, self._options.deadlines.call)

    async def beat(self) -> None:
        method = "Browser.getVersion"
        future = self._connection.send(method)
        deadline = self._options.deadlines.beat
        await answered(future, method, deadline, self._freezer.active_time)

    async def look(self) -> PageView | None:
        try:
            return decode_view(await self._ask("look", {}, self._options.deadlines.beat))
        except PageRefused:
            return None

    async def free(self) -> None:
        page, deadline = self._ready_page(), self._options.deadlines.beat
        await page.call("Runtime.terminateExecution", {}, deadline)
        await page.evaluate("1", deadline)
        with suppress(PageRefused):  # it lives, and the adapter tells when it runs
            await self._ask("tellState", {}, deadline)

    async def reload(self, *, fresh: bool) -> None:
        page = self._ready_page()
        self._renewing = True
        try:
            if fresh and not page.crashed_now and self._process.kill_renderers():
                await page.crash(self._options.deadlines.beat)
        finally:
            self._renewing = False
        await self.open()

    async def send_note(self, *, wa_id: str, body: str, again: bool = False) -> NoteResult:
        args: dict[str, object] = {"waId": wa_id, "body": body, "again": again}
        value = await self._ask("sendNote", args, self._options.deadlines.note)
        ack = value.get("ack") if isinstance(value, dict) else None
        if not isinstance(ack, int) or ack < 1:
            raise PageRefused("send_unconfirmed", "the page adapter gave no ack")
        deleted, old = value.get("deleted") is True, value.get("old") is True
        return NoteResult(ack=ack, deleted=deleted, old=old)

    async def take_over(self) -> None:
        await self._ask("takeOver", {}, self._options.deadlines.call)

    async def refresh_qr(self) -> None:
        await self._ask("refreshQr", {}, self._options.deadlines.call)

    async def logout(self) -> None:
        deadline = self._options.deadlines.call
        self._logout_told.clear()
        try:
            await self._ask("logout", {}, deadline)
        except PageGone:
            # The page may leave before it has answered: with LoggedOut that is a success.
            try:
                async with asyncio.timeout(deadline):
                    await self._logout_told.wait()
            except TimeoutError:
                raise PageGone("the page went away without logging out: open it again") from None

    async def collect_garbage(self) -> None:
        page = self._ready_page()
        await page.call("HeapProfiler.collectGarbage", {}, self._options.deadlines.call)

    async def freeze_copy(self, target: Path) -> CopyReport:
        return await self._freezer.copy(target, self._options.deadlines.copy)

    async def stop(self, deadline: float) -> StopReport:
        if self._stopping is None:
            self._stopping = asyncio.ensure_future(self._stop(deadline))
        else:
            done, _ = await asyncio.wait({self._stopping}, timeout=deadline)
            if not done:
                self.kill()  # who comes later may be in a greater hurry
        return await asyncio.shield(self._stopping)

    def kill(self) -> None:
        self._process.kill()

    # ---- behind it ------------------------------------------------------------------------------

    async def _stop(self, deadline: float) -> StopReport:
        self._freezer.close()  # a browser that stands still does not hear that it is to close
        report = await self._process.stop(self._ask_to_close, deadline)
        await self._freezer.settled()
        self._connection.close()
        self._tell_exit()
        self._lock.release()
        log.info(
            "browser_stopped",
            session_id=self._session_id,
            pid=self.pid,
            forced=report.forced,
            seconds=round(report.seconds, 3),
        )
        return report

    def _ask_to_close(self) -> None:
        self._connection.send("Browser.close")

    def _ready_page(self) -> PageSession:
        if self._page is None:
            raise ConnectionLost("the browser has no page yet")
        return self._page

    async def _ask(
        self, function: str, args: dict[str, object], deadline: float, file: Path | None = None
    ) -> Any:
        """Call the adapter, perhaps with a file. Raises PageRefused and what PageSession raises."""
        page = self._ready_page()
        if page.crashed_now:
            raise PageGone("the page crashed: reload it")
        expression = call_expression(self._names, function, args, file=file is not None)
        if file is None:
            answer = decode_answer(await page.evaluate(expression, deadline))
        else:
            answer = decode_answer(await page.evaluate_with_file(expression, file, deadline))
        if not answer.ok:
            raise PageRefused(answer.code, answer.message)
        return answer.value

    def _on_binding(self, params: dict[str, Any]) -> None:
        if params.get("name") != self._names.binding:
            return
        fact = decode_fact(params.get("payload"))
        match fact:
            case Rejected(event=event, problem=problem):
                log.warning(
                    "page_report_rejected",
                    session_id=self._session_id,
                    page_event=event,
                    problem=problem,
                )
            case LoggedOut():
                self._tell_logout(self._logouts.reported(fact))
            case _:
                self._tell(fact)

    def _on_crashed(self) -> None:
        if self._stopping is not None or self._renewing:
            return  # a browser that closes closes its pages first, and a reload kills them
        log.warning("page_crashed", session_id=self._session_id, pid=self.pid)
        self._tell(PageCrashed())

    def _on_navigated(self, url: str) -> None:
        self._tell_logout(self._logouts.navigated(url))
        self._tell(DocumentChanged())

    def _tell_logout(self, fact: LoggedOut | None) -> None:
        if fact is not None:
            self._logout_told.set()
            self._tell(fact)

    def _tell_exit(self) -> None:
        if not self._exit_told:
            self._exit_told = True
            self._tell(BrowserExited(pid=self.pid, returncode=self._process.returncode))

    def _tell(self, fact: BrowserFact) -> None:
        if not self._handed_over:
            return
        try:
            self._sink(fact)
        except Exception:
            # The sink only hands over to a mailbox; if that fails the loop must not.
            log.exception(
                "fact_not_delivered", session_id=self._session_id, fact=type(fact).__name__
            )
