"""One sealed value: which key sealed it, and how it is written as text. Pure."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from typing import Final

from storage.vault.errors import SecretDamaged

KID: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
"""What a key's id looks like: at most 32 bytes, no separator of any of our formats."""

KEY_BYTES: Final = 32
FINGERPRINT_BYTES: Final = 8
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
_PREFIX: Final = "wv1"
_SMALLEST: Final = FINGERPRINT_BYTES + NONCE_BYTES + TAG_BYTES


@dataclass(frozen=True, slots=True)
class Sealed:
    """AES-256-GCM output with what is needed to find its key.

    `fingerprint` (8 bytes) is derived one-way from the key: it tells a wrong key from a changed
    value. `nonce` is 12 random bytes, `ciphertext` the encrypted bytes and 16 bytes of tag.
    """

    kid: str
    fingerprint: bytes
    nonce: bytes
    ciphertext: bytes

    def to_text(self) -> str:
        """Write as `wv1.<kid>.<base64url of fingerprint, nonce, ciphertext>`, without padding."""
        body = urlsafe_b64encode(self.fingerprint + self.nonce + self.ciphertext)
        return f"{_PREFIX}.{self.kid}.{body.decode().rstrip('=')}"

    @classmethod
    def from_text(cls, text: str) -> Sealed:
        """Read what `to_text` wrote, and nothing else. Raises SecretDamaged."""
        prefix, _, rest = text.partition(".")
        kid, _, body = rest.partition(".")
        if prefix != _PREFIX or not KID.fullmatch(kid):
            raise _malformed()
        try:
            raw = urlsafe_b64decode(body + "=" * (-len(body) % 4))
        except ValueError:
            raise _malformed() from None
        if len(raw) < _SMALLEST:
            raise _malformed()
        end = FINGERPRINT_BYTES + NONCE_BYTES
        sealed = cls(kid, raw[:FINGERPRINT_BYTES], raw[FINGERPRINT_BYTES:end], raw[end:])
        # The decoder skips foreign characters and ignores spare bits: only one spelling is ours.
        if sealed.to_text() != text:
            raise _malformed()
        return sealed


def _malformed() -> SecretDamaged:
    return SecretDamaged(
        "A sealed value is malformed or cut short; restore it from a backup, or set it again."
    )
