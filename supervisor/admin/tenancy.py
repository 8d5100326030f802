"""Workspaces, plans and keys, as the operator makes and lists them. Safe beside a running node."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from api.keys import EVERY_SCOPE, Scope, caller_of, make_key, stored_scopes
from storage.audit import NewAccess
from storage.keys import KeyNotFound, NewKey
from storage.tenants import DEFAULT, PlanLimits, PlanNotFound, Retention
from supervisor.admin.errors import ArgumentInvalid
from supervisor.admin.place import actor, now_ms

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from storage.keys import ApiKeyRecord
    from storage.sqlite.store import SqliteStore
    from storage.tenants import PlanRecord, Usage, WorkspaceRecord

_PAGE: Final = 500
_UNITS: Final = {"m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_DURATION: Final = re.compile(r"([1-9][0-9]{0,5})([mhdw])", re.ASCII)
_TITLE_CHARS: Final = 64


@dataclass(frozen=True, slots=True)
class Made:
    """A key just made; `text` is shown to the operator, once."""

    record: ApiKeyRecord
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Listed:
    """A workspace and what it uses."""

    workspace: WorkspaceRecord
    usage: Usage


def parse_duration(text: str, *, name: str) -> int:
    """Return milliseconds of a text like 90d, 12h, 30m or 2w. Raises ArgumentInvalid."""
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise ArgumentInvalid(f"{name} is a number and m, h, d or w, such as 90d.")
    return int(found[1]) * _UNITS[found[2]]


def parse_scopes(text: str) -> frozenset[Scope]:
    """Return the scopes of a comma-separated list, or every one for `all`.

    Raises ArgumentInvalid.
    """
    words = {word.strip() for word in text.split(",") if word.strip()}
    if words == {"all"}:
        return EVERY_SCOPE
    unknown = sorted(words - set(Scope))
    if unknown or not words:
        raise ArgumentInvalid(
            f"--scopes is all, or a comma-separated list of {', '.join(sorted(Scope))}."
        )
    return frozenset(Scope(word) for word in words)


def _title(text: str, what: str) -> str:
    if not text.strip() or not text.isprintable() or len(text) > _TITLE_CHARS:
        raise ArgumentInvalid(f"{what} is one line of at most {_TITLE_CHARS} characters.")
    return text.strip()


# ---- keys ----


async def create_key(
    store: SqliteStore,
    *,
    workspace: str,
    name: str,
    scopes: frozenset[Scope],
    sessions: Sequence[str] = (),
    lasts_ms: int | None = None,
    env: str,
) -> Made:
    """Make a key for the workspace of that name; `sessions` are ids or names of its sessions.

    Raises WorkspaceNotFound, SessionNotFound, ArgumentInvalid.
    """
    home = await store.workspace_named(workspace)
    only = [await _session_id(store, home.id, ref) for ref in sessions]
    try:
        made = make_key(env)
    except ValueError as error:
        raise ArgumentInvalid(f"--env is refused: {error}.") from None
    now = now_ms()
    record = await store.create_key(
        home.id,
        NewKey(
            key_id=made.parts.key_id,
            name=_title(name, "--name"),
            hash=made.parts.hash,
            scopes=stored_scopes(scopes, only),
            expires_ms=None if lasts_ms is None else now + lasts_ms,
        ),
        now,
    )
    await note(store, home.id, "key.create", made=record.id)
    return Made(record, made.text)


async def _session_id(store: SqliteStore, workspace_id: str, ref: str) -> str:
    find = store.session if ref.isupper() else store.session_named
    return (await find(workspace_id, ref)).id


async def list_keys(store: SqliteStore, workspace: str) -> Sequence[ApiKeyRecord]:
    """Return the keys of the workspace of that name. Raises WorkspaceNotFound."""
    home = await store.workspace_named(workspace)
    return [record async for record in _keys(store, home.id)]


async def revoke_key(store: SqliteStore, workspace: str, ref: str) -> ApiKeyRecord:
    """Revoke the key with this id or key id. Raises WorkspaceNotFound, KeyNotFound."""
    home = await store.workspace_named(workspace)
    async for record in _keys(store, home.id):
        if ref in {record.id, record.key_id}:
            revoked = await store.revoke_key(home.id, record.id, now_ms())
            await note(store, home.id, "key.revoke", revoked=record.id)
            return revoked
    raise KeyNotFound(f"The workspace {workspace} has no key {ref}; list its keys.")


async def _keys(store: SqliteStore, workspace_id: str) -> AsyncIterator[ApiKeyRecord]:
    after: str | None = None
    while page := await store.keys(workspace_id, after=after, limit=_PAGE):
        for record in page:
            yield record
        after = page[-1].id


def key_state(record: ApiKeyRecord, now: int) -> str:
    """Return `revoked`, `expired` or `valid`."""
    if record.revoked_ms is not None:
        return "revoked"
    return "valid" if record.usable(now) else "expired"


def key_scopes(record: ApiKeyRecord) -> str:
    """Return what a key allows, in one line."""
    caller = caller_of(record)
    words = "all" if caller.scopes == EVERY_SCOPE else ", ".join(sorted(caller.scopes))
    limited = "" if caller.sessions is None else f" on {len(caller.sessions)} session(s)"
    return words + limited


# ---- workspaces and plans ----


async def create_workspace(store: SqliteStore, name: str, plan: str = DEFAULT) -> WorkspaceRecord:
    """Make a workspace. Raises NameTaken, PlanNotFound, ArgumentInvalid."""
    made = await store.create_workspace(_title(name, "A workspace's name"), now_ms(), plan)
    await note(store, made.id, "workspace.create")
    return made


async def change_workspace(
    store: SqliteStore, name: str, *, plan: str | None, retention: Retention | None
) -> WorkspaceRecord:
    """Give it another plan or other times to live; None leaves as it is.

    Raises WorkspaceNotFound, PlanNotFound.
    """
    home = await store.workspace_named(name)
    if plan is not None:
        home = await store.set_plan(home.id, plan, now_ms())
    if retention is not None:
        home = await store.set_retention(home.id, retention, now_ms())
    if plan is not None or retention is not None:
        await note(store, home.id, "workspace.change")
    return home


async def list_workspaces(store: SqliteStore) -> Sequence[Listed]:
    """Return all workspaces in order of id."""
    now = now_ms()
    return [Listed(one, await store.usage(one.id, now)) async for one in every_workspace(store)]


async def every_workspace(store: SqliteStore) -> AsyncIterator[WorkspaceRecord]:
    """Yield all workspaces in order of id."""
    after: str | None = None
    while page := await store.workspaces(after=after, limit=_PAGE):
        for workspace in page:
            yield workspace
        after = page[-1].id


async def set_plan(store: SqliteStore, name: str, limits: PlanLimits) -> PlanRecord:
    """Make the plan of that name, or replace its limits. Raises ArgumentInvalid."""
    try:
        return await store.set_plan_limits(name, limits, now_ms())
    except PlanNotFound:
        return await store.create_plan(_title(name, "A plan's name"), limits, now_ms())


async def note(
    store: SqliteStore, workspace_id: str, action: str, result: str = "done", **detail: str
) -> None:
    """Append an entry to the access log in the name of the command line."""
    await store.append_access(
        workspace_id,
        NewAccess(action=action, result=result, now_ms=now_ms(), who=actor(), detail=detail),
    )
