"""The key-encryption keys: several known by id, one of them current. No files, no globals.

A keyring is text, the same in a file and in an environment variable: one key a line (or, where line
breaks are awkward, separated by commas), `kid:base64 of 32 bytes`. Lines that start with `#` are
remarks. The last key is the current one: everything new is sealed with it; the others only open.

AES-GCM with random 96-bit nonces is safe for 2**32 seals under one key (NIST SP 800-38D): at ten
seals a second that takes thirteen years; rotate before.
"""

from __future__ import annotations

import hmac
import json
import os
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from storage.vault.errors import KeyMissing, KeyringUnusable, KeyWrong, SecretDamaged
from storage.vault.sealed import FINGERPRINT_BYTES, KEY_BYTES, KID, NONCE_BYTES, Sealed

if TYPE_CHECKING:
    from collections.abc import Mapping

_DATA_KEY: Final = "data-key"
_CHECK: Final = "key-check"
_CHECK_TEXT: Final = b"wafleet key check"


class Keyring:
    """Seals and opens with key-encryption keys. Safe to share between threads."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        """Take keys of 32 bytes by id, oldest first; the last is current.

        Raises KeyringUnusable.
        """
        if not keys:
            raise KeyringUnusable("The keyring holds no key; generate one, or give its backup.")
        for kid, key in keys.items():
            if not KID.fullmatch(kid):
                raise KeyringUnusable(
                    "A key's id is not usable; write 1 to 32 of a-z, 0-9, - and _, "
                    "starting with a letter or digit."
                )
            if len(key) != KEY_BYTES:
                raise KeyringUnusable(f"The key {kid} is not {KEY_BYTES} bytes long; correct it.")
        if len(set(keys.values())) != len(keys):
            raise KeyringUnusable("Two ids of the keyring hold the same key; remove one of them.")
        self._ciphers = {kid: AESGCM(key) for kid, key in keys.items()}
        self._fingerprints = {kid: _fingerprint(key) for kid, key in keys.items()}
        self._current = list(keys)[-1]

    @classmethod
    def parse(cls, text: str) -> Keyring:
        """Read a keyring's text. Raises KeyringUnusable, which names a line but never a key."""
        keys: dict[str, bytes] = {}
        for number, line in enumerate(text.splitlines(), start=1):
            if line.strip().startswith("#"):
                continue
            for entry in filter(None, (part.strip() for part in line.split(","))):
                kid, _, encoded = entry.partition(":")
                if kid in keys:
                    raise KeyringUnusable(f"Line {number} repeats an id; give the key another id.")
                keys[kid] = _decoded(encoded, number)
        return cls(keys)

    @property
    def current(self) -> str:
        """The id of the key that seals everything new."""
        return self._current

    @property
    def kids(self) -> tuple[str, ...]:
        """All ids, oldest first."""
        return tuple(self._ciphers)

    def seal(self, plaintext: bytes, purpose: str, context: Mapping[str, str]) -> Sealed:
        """Encrypt with the current key, bound to the purpose and the context."""
        kid, nonce = self._current, os.urandom(NONCE_BYTES)
        bound = _bound(kid, purpose, context)
        ciphertext = self._ciphers[kid].encrypt(nonce, plaintext, bound)
        return Sealed(kid, self._fingerprints[kid], nonce, ciphertext)

    def open(self, sealed: Sealed, purpose: str, context: Mapping[str, str]) -> bytes:
        """Decrypt with the key that sealed it. Raises KeyMissing, KeyWrong, SecretDamaged."""
        kid = sealed.kid
        if kid not in self._ciphers:
            raise KeyMissing(
                f"The key {kid} is not on the keyring; put it back (as any line but the last), "
                "then try again."
            )
        if not hmac.compare_digest(sealed.fingerprint, self._fingerprints[kid]):
            raise KeyWrong(
                f"The key {kid} on the keyring is not the one that was used; put the right key "
                "under this id."
            )
        try:
            bound = _bound(kid, purpose, context)
            return self._ciphers[kid].decrypt(sealed.nonce, sealed.ciphertext, bound)
        except InvalidTag:
            raise SecretDamaged(
                "A sealed value was changed, or was moved here from another place; restore it from "
                "a backup, or set it again."
            ) from None

    def wrap(self, data_key: bytes, context: Mapping[str, str]) -> Sealed:
        """Seal a data key, bound to what it encrypts."""
        return self.seal(data_key, _DATA_KEY, context)

    def unwrap(self, sealed: Sealed, context: Mapping[str, str]) -> bytes:
        """Open a data key. Raises KeyMissing, KeyWrong, SecretDamaged."""
        return self.open(sealed, _DATA_KEY, context)

    def is_current(self, sealed: Sealed) -> bool:
        """Tell whether the current key sealed this."""
        kid = self._current
        return sealed.kid == kid and sealed.fingerprint == self._fingerprints[kid]

    def seal_check(self) -> str:
        """Return a text to keep in the database, so that a wrong keyring is noticed at start."""
        return self.seal(_CHECK_TEXT, _CHECK, {}).to_text()

    def verify(self, check: str) -> None:
        """Prove that this keyring opens what the database holds.

        Raises KeyMissing, KeyWrong, SecretDamaged. After a rotation the check of an older key stays
        good as long as that key is on the ring; replace it when everything is sealed anew.
        """
        if self.open(Sealed.from_text(check), _CHECK, {}) != _CHECK_TEXT:
            raise SecretDamaged("The key check says something else; restore it from a backup.")

    def __repr__(self) -> str:
        """Show ids only: a keyring may end in a log or a traceback."""
        return f"<Keyring {', '.join(self.kids)}>"


def new_entry() -> str:
    """Return the line of a new random key, with an id of its own and without a line break."""
    return f"k{os.urandom(4).hex()}:{b64encode(os.urandom(KEY_BYTES)).decode()}"


def _decoded(encoded: str, number: int) -> bytes:
    try:
        key = b64decode(encoded.strip(), validate=True)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise KeyringUnusable(
            f"Line {number} of the keyring is not `id:base64 of {KEY_BYTES} bytes`; correct it."
        )
    return key


def _fingerprint(key: bytes) -> bytes:
    return hmac.digest(key, b"wafleet key fingerprint", "sha256")[:FINGERPRINT_BYTES]


def _bound(kid: str, purpose: str, context: Mapping[str, str]) -> bytes:
    bound = {"kid": kid, "purpose": purpose, "context": dict(context)}
    return json.dumps(bound, sort_keys=True, separators=(",", ":")).encode()
