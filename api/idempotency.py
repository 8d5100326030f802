"""Idempotency-Key: a request that is repeated under its key is carried out once.

The key belongs to the workspace. It stands for one operation on one session (the store keeps which)
with one body: what of a body counts is what it says, not how it is written.
"""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from api.errors import ApiError, FieldError, Problem, fields_invalid
from storage.acceptance import RequestKey

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiohttp import web
    from pydantic import BaseModel

    from storage.store import SessionRow

HEADER: Final = "Idempotency-Key"
REPLAYED: Final = "Idempotency-Replayed"
_KEY: Final = re.compile(r"[!-~]{1,255}", re.ASCII)


def request_key(
    request: web.Request, operation: str, session: SessionRow, body: BaseModel
) -> RequestKey | None:
    """Return the request's key, None without one. Raises ApiError fields_invalid."""
    values = request.headers.getall(HEADER, [])
    if not values:
        return None
    if len(values) > 1 or _KEY.fullmatch(values[0]) is None:
        sentence = "give it once, as 1 to 255 visible ASCII characters"
        raise fields_invalid((FieldError(HEADER, sentence),))
    said = body.model_dump(mode="json", exclude_unset=True)
    whole = json.dumps([operation, said], sort_keys=True, separators=(",", ":"))
    return RequestKey(
        key_hash=_digest(values[0]), body_hash=_digest(whole), session_status=session.status
    )


class InFlight:
    """The keys under which requests are being carried out now.

    One node has one database and one API, so that it need not be remembered anywhere else.
    """

    def __init__(self) -> None:
        self._held: set[tuple[str, str]] = set()

    @contextmanager
    def hold(self, workspace_id: str, key: RequestKey | None) -> Iterator[None]:
        """Let no other request use the key meanwhile. Raises ApiError idempotency_in_flight."""
        if key is None:
            yield
            return
        held = (workspace_id, key.key_hash)
        if held in self._held:
            raise _in_flight()
        self._held.add(held)
        try:
            yield
        finally:
            self._held.discard(held)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _in_flight() -> ApiError:
    return ApiError(
        Problem(
            status=409,
            code="idempotency_in_flight",
            title="A request with this key is being worked on",
            detail="Wait for its answer, or repeat the request in a moment.",
            headers={"Retry-After": "1"},
        )
    )
