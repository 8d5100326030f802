"""ChromiumDriver: makes browsers. The BrowserDriver of production."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import structlog
from pyppeteer.browser import Browser as TargetRegistry
from pyppeteer.errors import NetworkError

from actors.browser import chromium, profile
from actors.browser import process as processes
from actors.browser.driver import DriverError, LaunchFailed
from actors.browser.launch_args import arguments, environment
from actors.browser.page_source import PageScripts, read_scripts
from actors.browser.pipe import PipeConnection
from actors.browser.whatsapp import WhatsAppBrowser

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from actors.browser.driver import BrowserFact, SessionPaths
    from actors.browser.launch_args import BrowserOptions
    from actors.browser.pipe import PipeSession

log = structlog.get_logger(__name__)


class ChromiumDriver:
    """Launches Chromium on session profiles. Use it from one loop; `missing` from anywhere."""

    def __init__(self, options: BrowserOptions) -> None:
        self._options = options
        self._chromium: chromium.Chromium | None = None
        self._scripts: PageScripts | None = None
        # Chromium refuses to run with its sandbox as root.
        self._sandbox = not options.no_sandbox and os.geteuid() != 0
        if not self._sandbox:
            log.warning("browser_sandbox_off", root=os.geteuid() == 0)

    def missing(self) -> Sequence[DriverError]:
        """Return what would make any launch fail."""
        problems: list[DriverError] = []
        for check in (self._find_chromium, self._read_scripts):
            try:
                check()
            except DriverError as error:
                problems.append(error)
        return problems

    async def launch(
        self, session_id: str, paths: SessionPaths, sink: Callable[[BrowserFact], None]
    ) -> WhatsAppBrowser:
        """Start Chromium on the profile and connect. Raises LaunchFailed and its kin.

        Cancelled or failed, it leaves no process behind.
        """
        browser, connection = self._start(session_id, paths, sink)
        try:
            async with asyncio.timeout(self._options.deadlines.launch):
                await connection.send("Browser.setDownloadBehavior", {"behavior": "deny"})
                client = await _attach_to_page(connection)
                await browser.prepare(client)
        except BaseException as error:
            ending = asyncio.ensure_future(browser.stop(0))
            await asyncio.shield(ending)
            if isinstance(error, TimeoutError | DriverError | NetworkError):
                raise LaunchFailed(_sentence(error, browser.complaints())) from error
            raise
        log.info("browser_launched", session_id=session_id, pid=browser.pid)
        return browser

    def _start(
        self, session_id: str, paths: SessionPaths, sink: Callable[[BrowserFact], None]
    ) -> tuple[WhatsAppBrowser, PipeConnection]:
        found, scripts = self._find_chromium(), self._read_scripts()
        argv = arguments(
            self._options,
            executable=found.executable,
            version=found.version,
            profile=paths.profile,
            sandbox=self._sandbox,
        )
        lock = profile.take(paths)
        try:
            loop = asyncio.get_running_loop()
            process, read_fd, write_fd = processes.start(
                loop,
                argv,
                environment(os.environ, lock.scratch(paths.tmp)),
                # The loop calls these two after this function has made `browser`.
                exited=lambda: browser.process_ended(),  # noqa: PLW0108
            )
        except BaseException:
            lock.release()
            raise
        connection = PipeConnection(
            loop,
            read_fd=read_fd,
            write_fd=write_fd,
            closed=lambda: browser.connection_ended(),  # noqa: PLW0108
        )
        browser = WhatsAppBrowser(
            session_id=session_id,
            options=self._options,
            version=found.version,
            scripts=scripts,
            profile=paths.profile,
            process=process,
            connection=connection,
            lock=lock,
            sink=sink,
        )
        return browser, connection

    def _find_chromium(self) -> chromium.Chromium:
        if self._chromium is None:
            executable = chromium.find_executable(self._options.executable)
            version = chromium.read_version(executable)
            self._chromium = chromium.Chromium(executable, version)
        return self._chromium

    def _read_scripts(self) -> PageScripts:
        if self._scripts is None:
            self._scripts = read_scripts(self._options.bundle_path)
        return self._scripts


async def _attach_to_page(connection: PipeConnection) -> PipeSession:
    """Return a session on the browser's one page, made if it started without."""
    registry: Any = await TargetRegistry.create(connection, [], False, None)
    pages = [target for target in registry.targets() if target.type == "page"]
    if pages:
        session: PipeSession = await pages[0].createCDPSession()
        return session
    answer = await connection.send("Target.createTarget", {"url": "about:blank"})
    return await connection.createSession({"targetId": answer["targetId"], "type": "page"})


def _sentence(error: BaseException, complaints: str) -> str:
    what = "Chromium did not answer in time" if isinstance(error, TimeoutError) else str(error)
    return f"Chromium came up but could not be used: {what}. Its last words:\n{complaints or '-'}"
