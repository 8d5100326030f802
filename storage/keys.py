"""The Keys port: what is stored of API keys. A key's text is shown once, to whom it is made for.

The store never sees it: the API hands over the public part (`key_id`, by which the key is looked
up) and the SHA-256 of the secret part.

    StoreError
    ├── KeyNotFound            no such key in that workspace, or none with that key_id
    └── KeyIdTaken             another key has this key_id; make a new key
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from storage.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

TOUCH_INTERVAL_MS: Final = 60_000
"""How old `last_used_ms` gets before a use is written again: a write per request costs much."""


class KeyNotFound(StoreError):  # noqa: N818
    code = "key_not_found"


class KeyIdTaken(StoreError):  # noqa: N818
    code = "key_id_taken"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """`hash` is the SHA-256 of the secret part, 64 hex digits; `expires_ms` None is never."""

    key_id: str
    name: str
    hash: str = field(repr=False)
    scopes: frozenset[str]
    expires_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKeyRecord:
    """A key as stored; `id` is its public ULID, used wherever someone is named."""

    id: str
    workspace_id: str
    key_id: str
    name: str
    hash: str = field(repr=False)
    scopes: frozenset[str]
    expires_ms: int | None
    last_used_ms: int | None
    revoked_ms: int | None
    created_ms: int

    def usable(self, now_ms: int) -> bool:
        """Tell whether it is neither revoked nor expired."""
        return self.revoked_ms is None and (self.expires_ms is None or now_ms < self.expires_ms)


class Keys(Protocol):
    """Every write is one transaction."""

    async def create_key(self, workspace_id: str, new: NewKey, now_ms: int) -> ApiKeyRecord:
        """Store a key. Raises WorkspaceNotFound, KeyIdTaken."""

    async def keys(
        self, workspace_id: str, *, after: str | None = None, limit: int = 100
    ) -> Sequence[ApiKeyRecord]:
        """Return its keys in order of id, revoked and expired ones too."""

    async def revoke_key(self, workspace_id: str, key: str, now_ms: int) -> ApiKeyRecord:
        """Make the key (by its public id) useless for ever; again changes nothing.

        Raises KeyNotFound.
        """

    async def key_with_id(self, key_id: str) -> ApiKeyRecord:
        """Return the key with this look-up id, whether usable or not. Raises KeyNotFound.

        For authentication: the answer tells the workspace. The caller compares the hashes.
        """

    async def touch_key(self, key_id: str, now_ms: int) -> None:
        """Note a use, unless one was noted less than TOUCH_INTERVAL_MS before."""
