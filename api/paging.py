"""Pages of sessions, as far as the caller's key is for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from api.keys import Caller
    from storage.store import SessionRow, Store


async def visible_page(
    store: Store, caller: Caller, *, after: str | None, limit: int
) -> tuple[Sequence[SessionRow], str | None]:
    """Return up to `limit` sessions in order of id, and the next page's `after`, if there is one.

    For a key for certain sessions, a page may hold fewer and still not be the last.
    """
    rows = await store.sessions(caller.workspace_id, after=after, limit=limit + 1)
    page = rows[:limit]
    more = len(rows) > limit
    return [row for row in page if caller.may_see(row.id)], page[-1].id if more else None
