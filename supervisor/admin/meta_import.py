"""`wafleet import-meta`: move Cloud API credentials out of an export into the database.

The file is never changed, and a row that can't be moved is told with its reason: nothing is lost.
Running it again moves nothing twice and overwrites nothing.
"""

from __future__ import annotations

import hmac
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from storage.tenants import PlanLimitReached, WorkspaceNotFound
from storage.vault.errors import VaultError
from supervisor.admin.meta_rows import NameUsed, open_meta_rows, session_name, token_context
from supervisor.admin.place import no_tick, now_ms
from supervisor.admin.tenancy import note

if TYPE_CHECKING:
    from collections.abc import Sequence

    from storage.sqlite.store import SqliteStore
    from storage.vault import SecretBox
    from supervisor.admin.meta_rows import MetaNumber, MetaRows
    from supervisor.admin.meta_source import Credentials, SourceRow
    from supervisor.admin.place import Place, Tick

MOVED = frozenset({"moved", "would_move"})
WELL = MOVED | {"already_there", "nothing_to_move"}
"""Outcomes after which nothing is left to do for a row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowReport:
    """What became of one row. `outcome` is `moved` (or `would_move`), `already_there`, or why not.

    Holds no credential. `others` is how many further members of its metadata stay in the file.
    """

    line: int
    source_id: str | None
    workspace: str
    outcome: str
    detail: str = ""
    session: str | None = None
    is_primary: bool = False
    new_workspace: bool = False
    others: int = 0

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


async def import_meta(
    place: Place,
    store: SqliteStore,
    rows: Sequence[SourceRow],
    box: SecretBox | None,
    tick: Tick = no_tick,
) -> Sequence[RowReport]:
    """Move the rows' credentials; with `box` None only tell what would be done.

    To write, the caller holds the data directory. Each row is one transaction (its workspace, if
    that has to be made, is one before): after an interruption run it again. Raises StoreErrors.
    """
    reports = []
    primaries: set[str] = set()
    async with open_meta_rows(place) as numbers:
        mover = _Mover(store, numbers, box, primaries)
        for done, row in enumerate(rows):
            tick(done, len(rows))
            reports.append(await mover.move(row))
    return reports


class _Mover:
    """One run over a file; `primaries` are workspaces that a dry run gave a primary number."""

    def __init__(
        self, store: SqliteStore, numbers: MetaRows, box: SecretBox | None, primaries: set[str]
    ) -> None:
        self._store = store
        self._numbers = numbers
        self._box = box
        self._primaries = primaries

    async def move(self, row: SourceRow) -> RowReport:
        told: dict[str, Any] = {
            "line": row.line,
            "source_id": row.source_id,
            "workspace": row.name,
            "others": row.others,
        }
        if row.credentials is None:
            return RowReport(**told, outcome=row.problem or "nothing_to_move", detail=row.detail)
        told["session"] = session_name(row.credentials)
        try:
            workspace_id = (await self._store.workspace_named(row.name)).id
        except WorkspaceNotFound:
            workspace_id = None
            told["new_workspace"] = True
        if workspace_id is not None:
            there = await self._numbers.find(workspace_id, row.credentials.phone_number_id)
            if there is not None:
                return self._already(told, workspace_id, there, row.credentials)
        if self._box is None:
            return await self._would_move(told, workspace_id)
        return await self._move(told, workspace_id, row, self._box)

    async def _would_move(self, told: dict[str, Any], workspace_id: str | None) -> RowReport:
        taken = workspace_id is not None and await self._numbers.has_primary(workspace_id)
        primary = not taken and told["workspace"] not in self._primaries
        self._primaries.add(told["workspace"])
        return RowReport(**told, outcome="would_move", is_primary=primary, detail=_second(primary))

    async def _move(
        self, told: dict[str, Any], workspace_id: str | None, row: SourceRow, box: SecretBox
    ) -> RowReport:
        assert row.credentials is not None  # noqa: S101 - the caller looked
        now = now_ms()
        if workspace_id is None:
            workspace_id = (await self._store.create_workspace(row.name, now)).id
            await note(self._store, workspace_id, "workspace.create")
        try:
            primary = await self._numbers.insert(
                workspace_id, row.credentials, row.source_id, box, now
            )
        except PlanLimitReached as error:
            return RowReport(**told, outcome=error.code, detail=str(error))
        except NameUsed:
            detail = "Another session has this name; delete it, then import again."
            return RowReport(**told, outcome="name_taken", detail=detail)
        await note(self._store, workspace_id, "session.import")
        return RowReport(**told, outcome="moved", is_primary=primary, detail=_second(primary))

    def _already(
        self,
        told: dict[str, Any],
        workspace_id: str,
        there: MetaNumber,
        credentials: Credentials,
    ) -> RowReport:
        if self._same(workspace_id, there, credentials):
            return RowReport(**told, outcome="already_there")
        detail = "The database has other values for this number; they were not overwritten."
        return RowReport(**told, outcome="differs", detail=detail)

    def _same(self, workspace_id: str, there: MetaNumber, credentials: Credentials) -> bool:
        wanted = (credentials.business_id, credentials.api_version)
        if (there.meta.get("business_id"), there.meta.get("api_version")) != wanted:
            return False
        if self._box is None:
            return True  # a dry run has no key to look at the token with
        try:
            token = self._box.open(
                there.meta["access_token"], token_context(workspace_id, there.uuid)
            )
        except VaultError:
            return False
        return hmac.compare_digest(token, credentials.token.encode())


def _second(primary: bool) -> str:
    return "" if primary else "The workspace has another primary number, which stays it."
