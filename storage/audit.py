"""The AccessLog port: who did what to a workspace's sessions, when, from where, with what result.

Append-only, and chained: each entry's hash covers the one before, so that an entry that was changed
or taken out shows. A whole new tail, or a cut one, shows only against a head that was noted before
(`access_head`), kept where the database's owner can't reach it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NO_HASH: Final = "0" * 64
"""The `previous_hash` of a workspace's first entry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAccess:
    """What to note. `who` names what acts without a key; with `key` (a public id) it is that id.

    `action` and `result` are stable words such as `session.delete`, `allowed`. `detail` holds
    nothing personal and no secret.
    """

    action: str
    result: str
    now_ms: int
    key: str | None = None
    who: str = "unknown"
    session_id: str | None = None
    ip_address: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessEntry:
    """One entry as stored; entries of a workspace are numbered from 1 without a gap."""

    id: str
    workspace_id: str
    number: int
    session_id: str | None
    key: str | None
    who: str
    action: str
    result: str
    ip_address: str | None
    detail: Mapping[str, Any]
    created_ms: int
    previous_hash: str
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessHead:
    """The newest entry's number and hash; number 0 and NO_HASH while there is none."""

    number: int
    hash: str


def entry_hash(entry: AccessEntry) -> str:
    """Return the hash that the entry should have: SHA-256 of previous_hash and canonical JSON.

    Canonical is: all fields but the two hashes, keys sorted, no spaces, ASCII only.
    """
    fields = asdict(entry)
    del fields["hash"], fields["previous_hash"]
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256((entry.previous_hash + text).encode("ascii")).hexdigest()


def first_bad(before: AccessHead, entries: Sequence[AccessEntry]) -> str | None:
    """Return the id of the first entry that does not follow from those before it, if any."""
    for entry in entries:
        follows = entry.number == before.number + 1 and entry.previous_hash == before.hash
        if not follows or entry.hash != entry_hash(entry):
            return entry.id
        before = AccessHead(number=entry.number, hash=entry.hash)
    return None


class AccessLog(Protocol):
    async def append_access(
        self, workspace_id: str, new: NewAccess, *, patient: bool = False
    ) -> AccessEntry:
        """Write an entry. Raises WorkspaceNotFound, SessionNotFound, KeyNotFound.

        `session_id` may be that of a deleted session. A `patient` one waits a moment for other
        writes, to go to the disk with them.
        """

    async def access_log(
        self,
        workspace_id: str,
        *,
        before: int | None = None,
        session_id: str | None = None,
        limit: int = 100,
    ) -> Sequence[AccessEntry]:
        """Return entries, newest first, with a number below `before`. Raises SessionNotFound."""

    async def access_head(self, workspace_id: str) -> AccessHead:
        """Return the newest entry's number and hash."""

    async def verify_access_log(
        self, workspace_id: str, noted: AccessHead | None = None
    ) -> str | None:
        """Return the id of the first bad entry; None if the chain is whole.

        With `noted`, a head noted before, the chain must still contain it; if its entry is missing
        the answer is `missing:` and its number.
        """
