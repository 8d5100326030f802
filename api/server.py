"""Serve the application on a socket, from a program that owns the loop and the signals.

Bytes that are no HTTP never reach the application: aiohttp itself answers them with 400 text/plain.
"""

from __future__ import annotations

import logging
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.log import server_logger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_LINGER_SECONDS: Final = 2.0


class ListenFailed(Exception):  # noqa: N818 - the composition root speaks in domain words
    """The address can't be listened on; the text says what to change."""

    code: ClassVar[str] = "listen_failed"


class _ProtocolLog(logging.LoggerAdapter[logging.Logger]):
    """aiohttp's server log without the bytes that it could not parse.

    Its exceptions quote the line that offended, which may hold a key or a message.
    """

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        error = kwargs.get("exc_info")
        if error is True:
            error = sys.exc_info()[1]
        if isinstance(error, HttpProcessingError):
            kwargs["exc_info"] = None
            msg = f"{msg} ({type(error).__name__})"
            level = min(level, logging.WARNING)  # a client's fault is no error of ours
        super().log(level, msg, *args, **kwargs)


@asynccontextmanager
async def serving(
    app: web.Application, host: str, port: int, *, shutdown_timeout: float = 5.0
) -> AsyncIterator[tuple[str, int]]:
    """Serve while the block runs; yields the bound host and port (port 0 takes a free one).

    On leaving, no new connection is taken, and requests under way get `shutdown_timeout` seconds.
    Raises ListenFailed.
    """
    runner = web.AppRunner(
        app,
        access_log=None,
        logger=_ProtocolLog(server_logger),
        handle_signals=False,
        shutdown_timeout=shutdown_timeout,
        # How long an answered request may go on sending its body, so that its client gets to read.
        lingering_time=_LINGER_SECONDS,
        # Compressed bodies are refused; unpacking them before that would only invite bombs.
        auto_decompress=False,
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as error:
            raise ListenFailed(
                f"Can't listen on {host}:{port} ({error.strerror}); choose another address or port."
            ) from error
        bound_host, bound_port = runner.addresses[0][:2]
        yield bound_host, bound_port
    finally:
        await runner.cleanup()
