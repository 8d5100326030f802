"""How a CDP call fails, below the port.

NetworkError (pyppeteer)     so that pyppeteer's own except clauses match
├── ConnectionClosed         the pipe ended, or was given up because the peer misbehaved
├── TargetLost               the page crashed or its session was detached
└── ProtocolFailed           Chromium answered with an error
"""

from __future__ import annotations

from pyppeteer.errors import NetworkError

from actors.browser.driver import ConnectionLost, DriverError, PageGone


class ConnectionClosed(NetworkError):  # type: ignore[misc]  # noqa: N818
    """The pipe to the browser is closed."""


class TargetLost(NetworkError):  # type: ignore[misc]  # noqa: N818
    """The page crashed or its session was detached while a call was pending."""


class ProtocolFailed(NetworkError):  # type: ignore[misc]  # noqa: N818
    """Chromium answered the call with an error; the text is Chromium's."""


def to_driver_error(error: BaseException) -> DriverError:
    """Map a failed call to the port's errors; what is no NetworkError is raised as it is."""
    match error:
        case ConnectionClosed():
            return ConnectionLost("the browser is gone: start it again")
        case TargetLost():
            return PageGone("the page crashed or was closed: open it again")
        case NetworkError():
            return PageGone(f"the page did not survive the call: {error}")
        case _:
            raise error
