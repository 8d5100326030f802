"""Whose row is it? Look up what a caller names, in the workspace that the caller may see.

`Query` is either side of a store: a transaction's `all`, or the readers' `read`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from storage.keys import KeyNotFound
from storage.store import SessionInactive, SessionNotFound
from storage.tenants import WorkspaceNotFound

if TYPE_CHECKING:
    from storage.sqlite.transactions import Query


class SessionKeys(NamedTuple):
    """Internal ids of a session and of its workspace."""

    id: int
    workspace: int


def no_such_session(session_id: str) -> SessionNotFound:
    return SessionNotFound(f"There is no session {session_id}; list the sessions to see their ids.")


def no_such_workspace(workspace_id: str) -> WorkspaceNotFound:
    return WorkspaceNotFound(f"There is no workspace {workspace_id}; list them to see their names.")


def no_such_key(key: str) -> KeyNotFound:
    return KeyNotFound(f"There is no API key {key}; list the keys to see their ids.")


async def workspace_key(query: Query, workspace_id: str) -> int:
    """Return a workspace's internal id. Raises WorkspaceNotFound."""
    rows = await query("SELECT id FROM workspaces WHERE uuid = ?", (workspace_id,))
    if not rows:
        raise no_such_workspace(workspace_id)
    return int(rows[0][0])


async def session_keys(query: Query, session_id: str, *, deleted: bool = False) -> SessionKeys:
    """Return the keys of a session, whosever it is; of a deleted one only if `deleted`.

    Raises SessionNotFound.
    """
    rows = await query(
        "SELECT id, workspace_id FROM whatsapp_sessions"
        " WHERE uuid = ? AND (? OR deleted_at IS NULL)",
        (session_id, deleted),
    )
    if not rows:
        raise no_such_session(session_id)
    return SessionKeys(*rows[0])


async def own_session_keys(
    query: Query, workspace_id: str, session_id: str, *, deleted: bool = False
) -> SessionKeys:
    """Return the keys of a workspace's session; of a deleted one only if `deleted`.

    Raises SessionNotFound, for foreign sessions too.
    """
    rows = await query(
        "SELECT s.id, s.workspace_id FROM whatsapp_sessions AS s"
        " JOIN workspaces AS w ON w.id = s.workspace_id"
        " WHERE s.uuid = ? AND w.uuid = ? AND (? OR s.deleted_at IS NULL)",
        (session_id, workspace_id, deleted),
    )
    if not rows:
        raise no_such_session(session_id)
    return SessionKeys(*rows[0])


async def active_session_keys(query: Query, workspace_id: str, session_id: str) -> SessionKeys:
    """Return the keys of a workspace's live session that is not deactivated.

    Raises SessionNotFound, SessionInactive.
    """
    rows = await query(
        "SELECT s.id, s.workspace_id, s.is_active FROM whatsapp_sessions AS s"
        " JOIN workspaces AS w ON w.id = s.workspace_id"
        " WHERE s.uuid = ? AND w.uuid = ? AND s.deleted_at IS NULL",
        (session_id, workspace_id),
    )
    if not rows:
        raise no_such_session(session_id)
    key, workspace, is_active = rows[0]
    if not is_active:
        raise SessionInactive("This number is deactivated; activate it first.")
    return SessionKeys(key, workspace)


async def own_key(query: Query, workspace: int, key: str) -> int:
    """Return the internal id of a workspace's API key. Raises KeyNotFound."""
    rows = await query(
        "SELECT id FROM api_keys WHERE uuid = ? AND workspace_id = ?", (key, workspace)
    )
    if not rows:
        raise no_such_key(key)
    return int(rows[0][0])
