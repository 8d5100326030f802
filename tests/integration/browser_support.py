"""What the browser tests share: the real driver, recorded facts, looks at real processes."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from actors.browser import procfs
from actors.browser.driver import BrowserFact, SessionPaths
from actors.browser.launch_args import BrowserOptions
from actors.browser.launcher import ChromiumDriver
from tests.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from actors.browser.whatsapp import WhatsAppBrowser
    from simulator import Simulator

REPOSITORY: Final = Path(__file__).resolve().parents[2]
BUNDLE: Final = REPOSITORY / "node_modules/@wppconnect/wa-js/dist/wppconnect-wa.js"
BLANK: Final = "data:text/html,<title>blank</title>"
OPTIONS: Final = BrowserOptions(bundle_path=BUNDLE, whatsapp_url=BLANK)

F = TypeVar("F")


@dataclass
class Facts:
    """A sink that keeps everything; reading a fact takes it and all before it away."""

    all: list[BrowserFact] = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _read: int = 0

    def __call__(self, fact: BrowserFact) -> None:
        self.all.append(fact)
        self._news.set()

    async def next(
        self, kind: type[F], check: Callable[[F], bool] = lambda _: True, within: float = PATIENCE
    ) -> F:
        """Wait for the next unread fact of this kind that passes `check`."""
        try:
            async with asyncio.timeout(within):
                while True:
                    while self._read < len(self.all):
                        fact = self.all[self._read]
                        self._read += 1
                        if isinstance(fact, kind) and check(fact):
                            return fact
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"no {kind.__name__} within {within} s: {self.all}") from None

    def of(self, kind: type[F]) -> list[F]:
        return [fact for fact in self.all if isinstance(fact, kind)]


def session_paths(directory: Path, name: str = "s1") -> SessionPaths:
    return SessionPaths(profile=directory / name / "profile", tmp=directory / name / "tmp")


@asynccontextmanager
async def browsing(
    directory: Path, options: BrowserOptions = OPTIONS, *, name: str = "s1", facts: Facts
) -> AsyncIterator[WhatsAppBrowser]:
    """Launch a browser, and stop it at the end whatever happened."""
    driver = ChromiumDriver(options)
    browser = await driver.launch(name, session_paths(directory, name), facts)
    try:
        yield browser
    finally:
        await browser.stop(5)


def simulated(simulator: Simulator, **changes: Any) -> BrowserOptions:
    """Options that lead WhatsApp's name to this simulator."""
    options = BrowserOptions(
        bundle_path=BUNDLE,
        host_resolver_rules=simulator.host_resolver_rules,
        trusted_spki=simulator.spki_hash,
    )
    return replace(options, **changes)


def members(pid: int) -> list[int]:
    """Every live process of the session that `pid` leads; what init has yet to reap is not."""
    return [p.pid for p in procfs.processes() if p.session == pid and not p.dead]


def renderer_of(pid: int) -> int:
    """The page's renderer process."""
    for member in members(pid):
        if " --type=renderer " in (procfs.command_line(member) or ""):
            return member
    raise AssertionError(f"browser {pid} has no renderer")


def links(pid: int) -> set[str]:
    """What the descriptors of a process lead to."""
    return {str(entry.readlink()) for entry in (procfs.PROC / str(pid) / "fd").iterdir()}


async def until(look: Callable[[], object], within: float = PATIENCE) -> float:
    """Wait until `look` returns something true; return the seconds that it took."""
    begun = time.monotonic()
    while not look():
        assert time.monotonic() - begun < within, f"not within {within} s"
        await asyncio.sleep(0.005)
    return time.monotonic() - begun


PARENT = """
import asyncio, json, os, sys
from pathlib import Path
from tests.integration.browser_support import OPTIONS, ChromiumDriver, Facts, session_paths
async def main():
    browser = await ChromiumDriver(OPTIONS).launch("s1", session_paths(Path(sys.argv[1])), Facts())
    await browser.open()
    print(json.dumps(browser.pid), flush=True)
    await asyncio.sleep(1000)
asyncio.run(main())
"""


def launch_in_another_process(directory: Path) -> tuple[subprocess.Popen[bytes], int]:
    """Launch a browser on session s1 from a process of its own; return both."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(directory)], cwd=REPOSITORY, stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    for line in parent.stdout:
        if line.strip().isdigit():  # the rest is its log
            return parent, json.loads(line)
    raise AssertionError("the other process could not launch")
