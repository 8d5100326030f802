"""QR references and linking codes: what was issued, to whom, and whether it still counts. Pure.

A client page shows a *window* of QR codes, one after the other. The phone reads the text of one
and names its reference. Times are milliseconds of the clock that the caller passes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from simulator.errors import ConflictError, GoneError, InvalidRequestError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable

QR_FIELDS = (4, 5)
CODE_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTVWXYZ"
CODE_LENGTH = 8


@dataclass(frozen=True, slots=True)
class QrText:
    """The content of a QR code; ``keys`` are noise, identity and adv key as the page shows them."""

    ref: str
    keys: tuple[str, str, str]


def parse_qr(text: str) -> QrText:
    """Read a QR code's text, ``ref,noise,identity,adv`` with an optional platform after it."""
    parts = text.strip().split(",")
    if len(parts) not in QR_FIELDS or not all(parts) or not parts[0].startswith("2@"):
        raise InvalidRequestError(
            "qr_malformed",
            "This is not a WhatsApp linking code; give the full text ref,noise,identity,adv.",
        )
    return QrText(parts[0], (parts[1], parts[2], parts[3]))


@dataclass(frozen=True, slots=True)
class WindowPlan:
    """How long the codes of one window live, in milliseconds, and how many there are."""

    first_ttl_ms: int
    ttl_ms: int
    codes: int

    def ttl_of(self, nth: int) -> int | None:
        """Lifetime of the ``nth`` code (from 0), None when the window is over."""
        if nth >= self.codes:
            return None
        return self.first_ttl_ms if nth == 0 else self.ttl_ms


@dataclass(slots=True)
class Issued:
    """One reference or code: which connection shows it, for whom, and until when."""

    text: str
    connection: int
    expires_at_ms: int
    number: str | None = None
    used: bool = False


@dataclass(slots=True)
class IssuedCodes:
    """All references (or linking codes) ever issued, newest last; old ones stay known as such.

    ``what`` names them in errors (``qr`` or ``link_code``), ``generate`` makes a fresh text.
    """

    what: str
    generate: Callable[[], str]
    issued: dict[str, Issued] = field(default_factory=dict)
    current: dict[int, Issued] = field(default_factory=dict)

    def issue(self, connection: int, now_ms: int, ttl_ms: int, number: str | None = None) -> Issued:
        """Issue a fresh one; the connection's previous one is expired from now on."""
        self.withdraw(connection, now_ms)
        text = self.generate()
        while text in self.issued:
            text = self.generate()
        one = Issued(text, connection, now_ms + ttl_ms, number)
        self.issued[text] = one
        self.current[connection] = one
        return one

    def withdraw(self, connection: int, now_ms: int) -> None:
        """Expire what this connection shows, if anything."""
        one = self.current.pop(connection, None)
        if one is not None:
            one.expires_at_ms = min(one.expires_at_ms, now_ms)

    def claim(self, text: str, now_ms: int, number: str) -> Issued:
        """Use it up for ``number``; raise NotFoundError, GoneError or ConflictError if not."""
        one = self.issued.get(text)
        if one is None:
            raise NotFoundError(f"{self.what}_unknown", "This code was never shown; read it anew.")
        if one.used:
            raise ConflictError(f"{self.what}_used", "This code was used already; show another.")
        if now_ms >= one.expires_at_ms:
            raise GoneError(f"{self.what}_expired", "This code has expired; read the current one.")
        if one.number is not None and one.number != number:
            raise ConflictError(
                f"{self.what}_other_number",
                f"This code was requested for {one.number}; type it on that phone.",
            )
        one.used = True
        self.current.pop(one.connection, None)
        return one


def normalise_code(text: str) -> str:
    """An 8-character linking code as typed: case and dashes do not matter."""
    code = text.replace("-", "").replace(" ", "").upper()
    if len(code) != CODE_LENGTH or any(c not in CODE_ALPHABET for c in code):
        raise InvalidRequestError("link_code_malformed", "A linking code has 8 letters or digits.")
    return code
