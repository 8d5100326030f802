"""Files that are named by an address: fetched by us, never by the page, and from public hosts only.

The page runs in the network of this machine and knows the login's cookies. Redirects are not
followed: where they lead is for the one who sends the address to find out.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import aiohttp
from aiohttp import hdrs

from actors.net_guard import guarded_connector, refused, url_problem
from api.errors import ApiError, FieldError, Problem, fields_invalid
from api.media_kinds import LARGEST, MB

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from actors.net_guard import NetRules

PIECE: Final = 64 * 1024
_OK: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchTimes:
    """Seconds: to connect, between two pieces, and in all."""

    connect: float = 10.0
    silence: float = 15.0
    total: float = 120.0


class MediaFetcher:
    """Each fetch has a connection of its own."""

    def __init__(self, rules: NetRules, times: FetchTimes | None = None) -> None:
        self._rules = rules
        times = times or FetchTimes()
        self._timeout = aiohttp.ClientTimeout(
            total=times.total, sock_connect=times.connect, sock_read=times.silence
        )

    @asynccontextmanager
    async def fetch(self, url: str) -> AsyncIterator[tuple[AsyncIterator[bytes], str | None]]:
        """Give the file's pieces and its declared type while the block runs.

        Raises ApiError fields_invalid, media_unreachable, media_too_large; the pieces do, too.
        """
        problem = url_problem(url, self._rules)
        if problem is not None:
            raise fields_invalid((FieldError("url", problem),))
        async with aiohttp.ClientSession(
            connector=guarded_connector(self._rules, limit=1),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=self._timeout,
            auto_decompress=False,
            trust_env=False,
        ) as session:
            headers = {hdrs.ACCEPT_ENCODING: "identity", hdrs.USER_AGENT: "wafleet"}
            try:
                response = await session.get(url, headers=headers, allow_redirects=False)
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
                raise _unreachable(error) from None
            async with response:
                _require_file(response)
                yield _pieces(response), response.headers.get(hdrs.CONTENT_TYPE)


async def _pieces(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    try:
        async for piece in response.content.iter_chunked(PIECE):
            yield piece
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise _unreachable(error) from None


def _require_file(response: aiohttp.ClientResponse) -> None:
    if response.status != _OK:
        raise media_unreachable(f"It answered with status {response.status}.")
    if response.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
        raise media_unreachable("It sent the file compressed, which it was asked not to do.")
    if (response.content_length or 0) > LARGEST:
        raise media_too_large()


def _unreachable(error: Exception) -> ApiError:
    if refused(error):
        return media_unreachable("The address is not public, or its port is not permitted.")
    if isinstance(error, TimeoutError):
        return media_unreachable("It took too long.")
    return media_unreachable("The connection failed.")


def media_unreachable(why: str) -> ApiError:
    return ApiError(
        Problem(
            status=422,
            code="media_unreachable",
            title="The file could not be fetched",
            detail=f"{why} Give an https address that answers with the file itself.",
        )
    )


def media_too_large() -> ApiError:
    return ApiError(
        Problem(
            status=413,
            code="media_too_large",
            title="The file is too large",
            detail=f"Files of up to {LARGEST // MB} MB can be sent.",
        )
    )
