"""Find sessions by what a path says: an id or a name.

Names are lower case and ids are upper case, so that no text is both.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from api.schemas import NAME_PATTERN, ULID_PATTERN
from storage.store import SessionNotFound

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from storage.store import SessionRow, Store

_PAGE: Final = 500
_ULID: Final = re.compile(ULID_PATTERN, re.ASCII)
_NAME: Final = re.compile(NAME_PATTERN, re.ASCII)


def is_ulid(text: str) -> bool:
    """Tell whether the text has the form of a public id."""
    return _ULID.fullmatch(text) is not None


async def every_session(store: Store) -> AsyncIterator[SessionRow]:
    """Yield all sessions in order of id, page by page."""
    after: str | None = None
    while True:
        page = await store.sessions(after=after, limit=_PAGE)
        for row in page:
            yield row
        if len(page) < _PAGE:
            return
        after = page[-1].id


async def find_session(store: Store, ref: str) -> SessionRow:
    """Return the session with this id or name. Raises SessionNotFound."""
    if is_ulid(ref):
        return await store.session(ref)
    if _NAME.fullmatch(ref) is not None:
        return await store.session_named(ref)
    raise SessionNotFound("No session has this id or name.")
