"""Routes of what belongs to a message: its file, reactions to it, votes in it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import structlog
from aiohttp import hdrs, web

from api.errors import ApiError, Problem
from api.lookup import find_session, is_ulid
from api.parsing import json_response, read_query
from api.schemas import NoQuery
from api.schemas_reading import ReactionOut, ReactionsOut, VoteOut, VotesOut
from api.times import rfc3339
from storage.media import MediaError
from storage.media_index import MediaNotFound
from storage.store import MessageNotFound

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from api.ports import ApiDeps
    from storage.inbound import MessageFile
    from storage.media import MediaStore

log = structlog.get_logger(__name__)

_ONE: Final = "/v1/sessions/{session}/messages/{message}"
_TYPE: Final = re.compile(r"[a-z]+/[a-z0-9.+-]{1,100}", re.ASCII)
_ANY: Final = "application/octet-stream"
RETRY_SECONDS: Final = "5"


class MessageFileRoutes:
    """Handlers of …/messages/{message}/media, /reactions and /votes."""

    def __init__(self, deps: ApiDeps) -> None:
        self._store = deps.store
        self._media: MediaStore = deps.media

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get(f"{_ONE}/media", self.media),
            web.get(f"{_ONE}/reactions", self.reactions),
            web.get(f"{_ONE}/votes", self.votes),
        ]

    async def media(self, request: web.Request) -> web.StreamResponse:
        """The file itself, decrypted as it is sent; it is whole if the answer ends as it should."""
        workspace, session, message = await self._named(request)
        file = await self._store.message_file(workspace, session, message)
        if file.media is None:
            raise _no_file(file)
        try:
            async with self._media.open(workspace, file.media.id) as pieces:
                return await _streamed(request, file, pieces)
        except MediaNotFound:
            raise _no_file(file) from None
        except MediaError as error:
            log.warning("media_not_read", message_id=message, code=error.code, reason=error.reason)
            raise _unreadable(error) from None

    async def reactions(self, request: web.Request) -> web.Response:
        found = await self._store.reactions(*await self._named(request))
        return json_response(
            ReactionsOut(
                reactions=[
                    ReactionOut.model_validate(
                        {"from": one.sender, "emoji": one.emoji, "at": rfc3339(one.at_ms)}
                    )
                    for one in found
                ]
            )
        )

    async def votes(self, request: web.Request) -> web.Response:
        found = await self._store.votes(*await self._named(request))
        return json_response(
            VotesOut(
                votes=[
                    VoteOut.model_validate(
                        {
                            "from": one.sender,
                            "options": list(one.options),
                            "at": rfc3339(one.at_ms),
                        }
                    )
                    for one in found
                ]
            )
        )

    async def _named(self, request: web.Request) -> tuple[str, str, str]:
        read_query(request, NoQuery)
        session = await find_session(self._store, request)
        message_id = request.match_info["message"]
        if not is_ulid(message_id):
            raise MessageNotFound("No message has this id.")
        return session.workspace_id, session.id, message_id


async def _streamed(
    request: web.Request, file: MessageFile, pieces: AsyncIterator[bytes]
) -> web.StreamResponse:
    """Send the file. What is found to be wrong after the first piece ends the connection."""
    first = await anext(pieces, b"")  # before anything is promised
    response = web.StreamResponse(headers=_headers(file))
    await response.prepare(request)
    if request.method == hdrs.METH_HEAD:
        return response
    try:
        await response.write(first)
        async for piece in pieces:
            await response.write(piece)
    except MediaError as error:
        # Half of it is with the client, who must not take it for all of it.
        log.error("media_broken_off", code=error.code, reason=error.reason)  # noqa: TRY400
        if request.transport is not None:
            request.transport.abort()
        return response
    await response.write_eof()
    return response


def _headers(file: MessageFile) -> dict[str, str]:
    """Say what the sender says of it, but never let a browser show or run it."""
    about = file.content.get("file", {})
    kind, name = str(about.get("mimetype", "")).partition(";")[0], about.get("filename")
    disposition = "attachment"
    if isinstance(name, str) and name:
        disposition += f"; filename*=UTF-8''{quote(name[:200], safe='')}"
    return {
        hdrs.CONTENT_TYPE: kind if _TYPE.fullmatch(kind) else _ANY,
        hdrs.CONTENT_DISPOSITION: disposition,
        "Content-Security-Policy": "sandbox; default-src 'none'",
    }


def _no_file(file: MessageFile) -> ApiError:
    if file.wanted:
        return ApiError(
            Problem(
                status=409,
                code="media_pending",
                title="The file is not here yet",
                detail="It is fetched while the session is connected; ask again in a moment.",
                headers={"Retry-After": RETRY_SECONDS},
            )
        )
    if file.error_code is not None:
        return ApiError(
            Problem(
                status=404,
                code="media_failed",
                title="The file could not be fetched",
                detail="It will not be tried again; reason says why. Ask the sender for it.",
                members={"reason": file.error_code},
            )
        )
    return ApiError(
        Problem(
            status=404,
            code="media_not_kept",
            title="There is no file",
            detail="The message has none, it was not fetched when it came, or its time is over.",
        )
    )


def _unreadable(error: MediaError) -> ApiError:
    return ApiError(
        Problem(
            status=500,
            code=error.code,
            title="The file can't be read",
            detail="It is damaged, or the key that opens it is missing; the log says more.",
            members={"reason": error.reason},
        )
    )
