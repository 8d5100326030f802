"""Small values at rest: access tokens, webhook secrets, QR codes; each bound to its place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from storage.vault.sealed import Sealed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from storage.vault.keyring import Keyring

_PURPOSE: Final = "secret"


class SecretBox:
    """Turns small secrets into texts for the database and back.

    The context names the value's place (table, column, row, workspace): a text that was copied to
    another place does not open there. It is not stored; give the same one to open.
    """

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def seal(self, plaintext: bytes, context: Mapping[str, str]) -> str:
        """Return `wv1.<kid>.<base64url>`; two calls never return the same text."""
        return self._keyring.seal(plaintext, _PURPOSE, context).to_text()

    def open(self, text: str, context: Mapping[str, str]) -> bytes:
        """Return the plaintext. Raises KeyMissing, KeyWrong, SecretDamaged."""
        return self._keyring.open(Sealed.from_text(text), _PURPOSE, context)

    def is_current(self, text: str) -> bool:
        """Tell whether the current key sealed this text. Raises SecretDamaged."""
        return self._keyring.is_current(Sealed.from_text(text))

    def rewrap(self, text: str, context: Mapping[str, str]) -> str:
        """Return the value sealed with the current key; the same text if it is already.

        Raises KeyMissing, KeyWrong, SecretDamaged.
        """
        plaintext = self.open(text, context)
        return text if self.is_current(text) else self.seal(plaintext, context)
