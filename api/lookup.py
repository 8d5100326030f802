"""Find sessions by what a path says: an id or a name, among those that the caller's key is for.

Names are lower case and ids are upper case, so that no text is both.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from api.caller import CALLER, TRAIL
from api.schemas import NAME_PATTERN, ULID_PATTERN
from storage.store import SessionNotFound

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import web

    from api.keys import Caller
    from storage.store import SessionRow, Store

_PAGE: Final = 500
_ULID: Final = re.compile(ULID_PATTERN, re.ASCII)
_NAME: Final = re.compile(NAME_PATTERN, re.ASCII)


def is_ulid(text: str) -> bool:
    """Tell whether the text has the form of a public id."""
    return _ULID.fullmatch(text) is not None


async def every_session(store: Store) -> AsyncIterator[SessionRow]:
    """Yield the sessions of all workspaces in order of id, page by page."""
    after: str | None = None
    while True:
        page = await store.all_sessions(after=after, limit=_PAGE)
        for row in page:
            yield row
        if len(page) < _PAGE:
            return
        after = page[-1].id


async def find_session(store: Store, request: web.Request) -> SessionRow:
    """Return the session that the path names, and note it in the request's trail.

    Raises SessionNotFound, also for sessions of other workspaces and those that the key is not for.
    """
    caller, ref = request[CALLER], request.match_info["session"]
    if is_ulid(ref):
        row = await store.session(caller.workspace_id, ref)
    elif _NAME.fullmatch(ref) is not None:
        row = await store.session_named(caller.workspace_id, ref)
    else:
        raise SessionNotFound("No session has this id or name.")
    if not caller.may_see(row.id):
        raise SessionNotFound("The key is not for this session.")
    request[TRAIL].session_id = row.id
    return row


async def session_of_query(store: Store, caller: Caller, ref: str | None) -> str | None:
    """Return the id of the session that a query names; ids may be those of deleted ones.

    Raises SessionNotFound, but not for an id: nothing is found for one that is not there.
    """
    if ref is None:
        return None
    if not is_ulid(ref):
        ref = (await store.session_named(caller.workspace_id, ref)).id
    if not caller.may_see(ref):
        raise SessionNotFound("The key is not for this session.")
    return ref
