"""Files of contacts' messages: out of the page, into the encrypted store, a piece at a time.

The wish is a row (storage.inbound), so that neither a crash nor a restart forgets a file. An
attempt is counted before it begins: a file that kills its page is not tried for ever. Nothing of a
file lies on the disk in clear, and no more than a piece of it in memory; the page holds it whole.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import structlog

from actors.bridge import BridgeError
from actors.browser.driver import DriverError, PageRefused
from actors.browser.reading import WantedMedia
from storage.media import MediaError, MediaNotKept
from storage.space import LOW_CODE
from storage.store import MessageNotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from actors.bridge import Bridge
    from actors.browser.driver import Browser
    from actors.browser.reading import OpenMedia
    from actors.calls import Calls
    from actors.deps import InboundRules, SessionDeps
    from actors.messages import Outcome
    from actors.recorder import Recorder
    from storage.inbound import Download
    from storage.media import MediaStore
    from storage.store import Store

log = structlog.get_logger(__name__)

PIECE: Final = 512 * 1024
PIECE_TIMEOUT: Final = 30.0
FETCH_DEADLINE: Final = 3600.0
"""Over and above the page's deadline for each call: others may have to be served first."""
STORE_DEADLINE: Final = 30.0
MOST_ATTEMPTS: Final = 5
SLACK: Final = 0.01
"""Seconds after which a file's time has surely come."""
FINAL: Final = frozenset({"media_unknown", "media_too_large"})
"""What the page says that asking again does not change.

A message that it does not know may still be on its way to it: right after a login WhatsApp Web has
not loaded all that there is.
"""


class MediaTorn(Exception):  # noqa: N818 - a fact about a file
    """The page gave less of a file than it said there was."""

    code: Final = "media_torn"


class MediaDesk:
    """Fetches files for the whole node, a few at once; used on the main loop."""

    def __init__(
        self,
        *,
        media: MediaStore,
        store: Store,
        browsers: Bridge,
        rules: InboundRules,
        now_ms: Callable[[], int],
    ) -> None:
        self._media = media
        self._store = store
        self._browsers = browsers
        self._most = rules.most_bytes
        self._slots = asyncio.Semaphore(rules.at_once)
        self._now_ms = now_ms

    async def fetch(self, browser: Browser, download: Download) -> int:
        """Keep a message's file; return its size in bytes.

        Raises DriverErrors, BridgeErrors, MediaErrors, StoreErrors, MediaTorn, TimeoutError.
        """
        wanted = WantedMedia(
            wa_id=download.wa_id, chat=download.chat, sender=download.sender, most=self._most
        )
        async with self._slots:
            opened = await self._browsers.ask(partial(browser.open_media, wanted))
            try:
                await self._media.save(download.message_id, self._pieces(browser, opened))
            finally:
                with suppress(DriverError, BridgeError):  # then the page has forgotten it anyway
                    await self._browsers.ask(partial(browser.close_media, opened))
        await self._store.end_download(download.message_id, None, self._now_ms())
        return opened.bytes

    def _pieces(self, browser: Browser, opened: OpenMedia) -> Iterator[bytes]:
        """Read in the thread that writes them."""
        for offset in range(0, opened.bytes, PIECE):
            length = min(PIECE, opened.bytes - offset)
            read = partial(browser.read_media, opened, offset, length)
            piece = self._browsers.run(read, PIECE_TIMEOUT)
            if len(piece) != length:
                raise MediaTorn("The page gave less than it said: it is fetched again.")
            yield piece


class Fetching:
    """One session's files, one after the other. Owned by its actor, used only from its thread."""

    def __init__(
        self,
        *,
        session_id: str,
        calls: Calls,
        deps: SessionDeps,
        recorder: Recorder,
        arm: Callable[[float], None],
    ) -> None:
        """`arm` wakes it so many seconds later."""
        self._session_id = session_id
        self._calls = calls
        self._deps = deps
        self._recorder = recorder
        self._arm = arm
        self._retry_after = deps.inbound.retry_after
        self._browser: Browser | None = None
        self._busy = False

    def start(self, browser: Browser) -> None:
        """The session is connected."""
        self._browser = browser
        self.wake()

    def halt(self) -> None:
        """It is not any more."""
        self._browser = None

    def wake(self) -> None:
        """There may be a file to fetch."""
        if self._busy or self._browser is None or not self._deps.inbound.fetch:
            return
        self._busy = True
        self._calls.place(self._deps.main, self._take, self._taken, deadline=STORE_DEADLINE)

    async def _take(self) -> Download | None:
        store, now = self._deps.store, self._deps.now_ms()
        download = await store.next_download(
            self._session_id, now - round(self._retry_after * 1000)
        )
        if download is not None:
            await store.count_download(download.message_id, 1, now)
        return download

    def _taken(self, outcome: Outcome) -> None:
        download: Download | None = outcome.value
        if outcome.error is not None or download is None or self._browser is None:
            self._busy = False
            if outcome.error is not None:
                log.warning("downloads_not_read", error=type(outcome.error).__name__)
                self._arm(self._retry_after)
            elif download is not None:
                self._uncount(download)
            return
        work = partial(self._deps.desk.fetch, self._browser, download)
        then = partial(self._fetched, download)
        self._calls.place(self._deps.main, work, then, deadline=FETCH_DEADLINE)

    def _fetched(self, download: Download, outcome: Outcome) -> None:
        self._busy = False
        error = outcome.error
        code = None if error is None else error_code(error)
        count = self._deps.telemetry.inbound.downloads
        count.labels(result="kept" if code is None else code).inc()
        log.info("media_fetched", message_id=download.message_id, code=code, bytes=outcome.value)
        if code is not None:
            self._failed(download, error, code)
        self.wake()

    def _failed(self, download: Download, error: Exception | None, code: str) -> None:
        """Give it up, or have it tried again later, at the latest when it is connected anew."""
        last = download.attempts + 1 >= MOST_ATTEMPTS
        if blameless(error):
            self._uncount(download)
        elif last or code in FINAL or isinstance(error, MessageNotFound):
            end = self._deps.store.end_download
            work: Any = partial(end, download.message_id, code, self._deps.now_ms())
            self._recorder.put("download_ended", work)
            return
        self._arm(self._retry_after + SLACK)

    def _uncount(self, download: Download) -> None:
        count, now = self._deps.store.count_download, self._deps.now_ms()
        self._recorder.put("download_postponed", partial(count, download.message_id, -1, now))


def error_code(error: Exception) -> str:
    """Return the stable code of what kept a file from being fetched."""
    if isinstance(error, PageRefused | MediaError):
        return error.reason
    return str(getattr(error, "code", "fetch_failed"))


def blameless(error: Exception | None) -> bool:
    """Tell whether the file can't be the cause: no connection, no room."""
    if isinstance(error, PageRefused):
        return error.reason in {"not_connected", "not_ready"}
    return isinstance(error, MediaNotKept) and error.reason == LOW_CODE
