"""API keys as their holders see them, and what a key allows (pure).

A key has an environment, an id, a secret and a check:

    wsk_live_3fK9aQ0Z_<43 characters: 256 random bits in base62><6 characters: CRC-32 in base62>

The id is public and finds the stored key. Of the secret only its SHA-256 is kept. The check covers
all that stands before it, so that a mistyped or cut key is refused without a look-up.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import zlib
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection

    from storage.keys import ApiKeyRecord

DEFAULT_ENV: Final = "live"
ENV_PATTERN: Final = r"[a-z0-9]{1,16}"
_ID_CHARS: Final = 8
_SECRET_BYTES: Final = 32
_SECRET_CHARS: Final = 43
_CHECK_CHARS: Final = 6
_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_KEY: Final = re.compile(
    rf"(wsk_{ENV_PATTERN}_([0-9A-Za-z]{{{_ID_CHARS}}})_([0-9A-Za-z]{{{_SECRET_CHARS}}}))"
    rf"([0-9A-Za-z]{{{_CHECK_CHARS}}})",
    re.ASCII,
)
_ONLY: Final = "only:"


class Scope(StrEnum):
    """What a key may be allowed to do; none implies another.

    session:write includes the QR code: whoever sees it can link a phone.
    """

    SESSION_READ = "session:read"
    SESSION_WRITE = "session:write"
    MESSAGE_SEND = "message:send"
    MESSAGE_READ = "message:read"
    WEBHOOK_WRITE = "webhook:write"
    KEY_ADMIN = "key:admin"
    AUDIT_READ = "audit:read"


EVERY_SCOPE: Final = frozenset(Scope)


@dataclass(frozen=True, slots=True)
class KeyParts:
    """A well-formed key taken apart; `hash` is the SHA-256 of its secret, 64 hex digits."""

    key_id: str
    hash: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class MadeKey:
    """A new key: its text, to be shown once to its holder, and what is kept of it."""

    text: str = field(repr=False)
    parts: KeyParts


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who makes a request: the key's public id, its workspace, and what it allows there.

    `sessions` None means every session of the workspace, else only those with these public ids.
    """

    key: str
    workspace_id: str
    scopes: frozenset[Scope]
    sessions: frozenset[str] | None = None

    def may_see(self, session_id: str | None) -> bool:
        """Tell whether the key is for this session; None is what belongs to no session."""
        return self.sessions is None or session_id in self.sessions


def make_key(env: str = DEFAULT_ENV) -> MadeKey:
    """Return a new random key. Raises ValueError for an env that is not a short lower-case word."""
    if re.fullmatch(ENV_PATTERN, env, re.ASCII) is None:
        raise ValueError("the environment is 1 to 16 of a-z and 0-9")
    key_id = "".join(secrets.choice(_DIGITS) for _ in range(_ID_CHARS))
    secret = _base62(int.from_bytes(secrets.token_bytes(_SECRET_BYTES)), _SECRET_CHARS)
    head = f"wsk_{env}_{key_id}_{secret}"
    return MadeKey(head + _check(head), KeyParts(key_id, digest(secret)))


def parse_key(text: str) -> KeyParts | None:
    """Take a key apart; None if it is not one of ours, was mistyped or cut."""
    found = _KEY.fullmatch(text)
    if found is None or found[4] != _check(found[1]):
        return None
    return KeyParts(found[2], digest(found[3]))


def digest(text: str) -> str:
    """Return the SHA-256 of a text as 64 hex digits."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def stored_scopes(scopes: Collection[Scope], sessions: Collection[str] | None) -> frozenset[str]:
    """Return what is kept with a key: its scopes and, where it is for certain sessions, those."""
    return frozenset({*scopes, *(f"{_ONLY}{session_id}" for session_id in sessions or ())})


def caller_of(record: ApiKeyRecord) -> Caller:
    """Return what a stored key allows. Words of another version of wafleet allow nothing."""
    only = frozenset(s.removeprefix(_ONLY) for s in record.scopes if s.startswith(_ONLY))
    return Caller(
        key=record.id,
        workspace_id=record.workspace_id,
        scopes=frozenset(scope for scope in Scope if scope in record.scopes),
        sessions=only or None,
    )


def _check(head: str) -> str:
    return _base62(zlib.crc32(head.encode()), _CHECK_CHARS)


def _base62(number: int, width: int) -> str:
    digits = ""
    while number:
        number, rest = divmod(number, len(_DIGITS))
        digits = _DIGITS[rest] + digits
    return digits.rjust(width, _DIGITS[0])
