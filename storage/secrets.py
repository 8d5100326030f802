"""The Secrets port: small values that the database holds only encrypted, each bound to its place.

storage.vault.SecretBox implements it. Its errors are the vault's: KeyMissing, KeyWrong,
SecretDamaged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping


class Secrets(Protocol):
    """Seal before writing, open after reading, with the same context."""

    def seal(self, plaintext: bytes, context: Mapping[str, str]) -> str:
        """Return a text for the database; two calls never return the same one."""
        ...

    def open(self, text: str, context: Mapping[str, str]) -> bytes:
        """Return the plaintext. Raises KeyMissing, KeyWrong, SecretDamaged."""
        ...


def qr_context(session_id: str) -> dict[str, str]:
    """Return what a session's QR code is bound to: it opens in no other row."""
    return {"table": "whatsapp_sessions", "column": "qr_code", "row": session_id}
