"""Routes of uploads: hand in a file to be sent with messages, as a body, a form or an address."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from aiohttp import BodyPartReader, hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from api.caller import CALLER, TRAIL
from api.errors import ApiError, FieldError, Problem, body_invalid, body_timeout, fields_invalid
from api.lookup import is_ulid
from api.media_check import MediaCheck
from api.media_fetch import MediaFetcher, media_too_large
from api.media_kinds import LARGEST
from api.parsing import json_response, read_body, read_query
from api.pulled import PulledBytes
from api.schemas import NoQuery
from api.schemas_media import NewUploadByUrl, UploadOut, UploadQuery
from api.times import rfc3339
from storage.media import MediaNotKept
from storage.media_index import MediaNotFound

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from api.ports import ApiDeps
    from storage.uploads import Upload

AT_ONCE: Final = 4
"""Uploads at once; each has a thread, and some megabytes."""
TOTAL_SECONDS: Final = 600.0
_PIECE: Final = 64 * 1024
_FORM: Final = "multipart/form-data"
_JSON: Final = "application/json"


class MediaRoutes:
    """Handlers of /v1/media."""

    def __init__(self, deps: ApiDeps) -> None:
        self._deps = deps
        self._uploads = deps.uploads
        self._fetcher = MediaFetcher(deps.net_rules)
        self._slots = asyncio.Semaphore(AT_ONCE)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/media", self.upload),
            web.get("/v1/media/{media}", self.read),
        ]

    async def upload(self, request: web.Request) -> web.Response:
        """201 once the file is on the disk, encrypted; its type is told from its bytes."""
        query = read_query(request, UploadQuery)
        if self._slots.locked():
            raise _busy()
        try:
            async with self._slots, asyncio.timeout(TOTAL_SECONDS):
                if request.content_type == _JSON:
                    upload = await self._fetch(request)
                else:
                    upload = await self._receive(request, query.filename)
        except TimeoutError:
            raise body_timeout() from None
        request[TRAIL].detail["media_id"] = upload.id
        headers = {"Location": f"/v1/media/{upload.id}"}
        return json_response(upload_out(upload), status=201, headers=headers)

    async def read(self, request: web.Request) -> web.Response:
        read_query(request, NoQuery)
        media_id = request.match_info["media"]
        if not is_ulid(media_id):
            raise MediaNotFound("No upload has this id.")
        upload = await self._uploads.upload(request[CALLER].workspace_id, media_id)
        return json_response(upload_out(upload))

    async def _fetch(self, request: web.Request) -> Upload:
        read_query(request, NoQuery)
        body = await read_body(request, NewUploadByUrl, self._deps.body_deadline)
        async with self._fetcher.fetch(body.url) as (pieces, declared):
            return await self._save(request, pieces, declared, body.filename)

    async def _receive(self, request: web.Request, filename: str | None) -> Upload:
        _require_plain(request)
        async with self._sent(request) as (pieces, declared, named):
            return await self._save(request, pieces, declared, filename or named)

    async def _save(
        self,
        request: web.Request,
        pieces: AsyncIterator[bytes],
        declared: str | None,
        filename: str | None,
    ) -> Upload:
        check = MediaCheck(declared)

        def look(piece: bytes) -> None:
            check.feed(piece)
            if check.size > LARGEST:
                raise media_too_large()

        content = PulledBytes(_not_empty(pieces), look)
        try:
            return await self._uploads.save_upload(
                request[CALLER].workspace_id, content, check.facts, filename=filename
            )
        except MediaNotKept as error:
            raise _not_kept(error) from None
        finally:
            content.close()

    @asynccontextmanager
    async def _sent(
        self, request: web.Request
    ) -> AsyncIterator[tuple[AsyncIterator[bytes], str | None, str | None]]:
        """Give the pieces, declared type and name of the file in a request's body."""
        try:
            if request.content_type == _FORM:
                part = await self._file_part(request)
                named = filename_or_none(part.filename)
                yield self._parts(part), part.headers.get(hdrs.CONTENT_TYPE), named
            else:
                yield self._body(request), request.headers.get(hdrs.CONTENT_TYPE), None
        except (web.RequestPayloadError, HttpProcessingError, ConnectionResetError):
            raise body_invalid("The body is cut off or wrongly encoded; send it again.") from None

    async def _file_part(self, request: web.Request) -> BodyPartReader:
        try:
            async with asyncio.timeout(self._deps.body_deadline):
                reader = await request.multipart()
                while (part := await reader.next()) is not None:
                    if isinstance(part, BodyPartReader) and part.name == "file":
                        return part
        except ValueError:
            raise body_invalid("The form is not multipart/form-data; send it again.") from None
        raise fields_invalid((FieldError("file", "is missing in the form"),))

    async def _parts(self, part: BodyPartReader) -> AsyncIterator[bytes]:
        while not part.at_eof():
            try:
                async with asyncio.timeout(self._deps.body_deadline):
                    piece = await part.read_chunk(_PIECE)
            except ValueError:
                raise body_invalid("The form is cut off; send it again.") from None
            if piece:
                yield bytes(piece)

    async def _body(self, request: web.Request) -> AsyncIterator[bytes]:
        while not request.content.at_eof():
            async with asyncio.timeout(self._deps.body_deadline):
                piece = await request.content.readany()
            if piece:
                yield piece


def upload_out(upload: Upload) -> UploadOut:
    """Return the answer for an upload."""
    return UploadOut(
        id=upload.id,
        mimetype=upload.mimetype,
        filename=upload.filename,
        size=upload.size,
        problem=upload.problem,
        created_at=rfc3339(upload.created_ms),
    )


def filename_or_none(name: str | None) -> str | None:
    """Return the last part of a form's file name if it can be shown, else None: it is a hint."""
    name = (name or "").replace("\\", "/").rpartition("/")[2][-255:]
    return name if name.strip(". ") and name.isprintable() else None


async def _not_empty(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    empty = True
    async for piece in pieces:
        empty = False
        yield piece
    if empty:
        raise body_invalid("The file is empty; send its bytes.")


def _require_plain(request: web.Request) -> None:
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
        raise ApiError(
            Problem(
                status=415,
                code="media_type_invalid",
                title="The body is compressed",
                detail="Send the file as it is, without Content-Encoding.",
            )
        )


def _busy() -> ApiError:
    return ApiError(
        Problem(
            status=503,
            code="media_busy",
            title="Too many uploads at once",
            detail=f"{AT_ONCE} files can be handed in at once; try again in a moment.",
            headers={"Retry-After": "5"},
        )
    )


def _not_kept(error: MediaNotKept) -> ApiError:
    return ApiError(
        Problem(
            status=507,
            code="media_not_kept",
            title="The file could not be kept",
            detail="Free space on the data directory's disk, then try again; the log says more.",
            members={"reason": error.reason},
        )
    )
