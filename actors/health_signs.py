"""A beat as one call: the browser is asked, and then its page, without a word in between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from actors.browser.driver import DriverError

if TYPE_CHECKING:
    from actors.browser.driver import Browser, PageView


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign:
    """What one of them answered: a page its view (None: the adapter did not run), or an error."""

    view: PageView | None = None
    error: Exception | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Signs:
    """What both answered; `page` is None if it was not asked, as after a silent browser."""

    browser: Sign
    page: Sign | None = None


async def signs(browser: Browser, *, page: bool) -> Signs:
    """Ask the browser, and with `page` its page; runs on the browsers' loop."""
    try:
        await browser.beat()
    except DriverError as error:
        return Signs(browser=Sign(error=error))
    return Signs(browser=Sign(), page=await look(browser) if page else None)


async def look(browser: Browser) -> Sign:
    """Ask the page alone."""
    try:
        return Sign(view=await browser.look())
    except DriverError as error:
        return Sign(error=error)
