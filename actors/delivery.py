"""How a session delivers: what is done about messages in doubt, and how typing is shown. Pure.

A message is in doubt (`unknown`) when it was, or may have been, handed to a page and no answer is
known. WhatsApp Web itself keeps what it has been given, so it is asked, once it has synced.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from actors.upload_time import upload_seconds

if TYPE_CHECKING:
    from storage.messages import MessageRow

MOST_ATTEMPTS: Final = 3
ACK_MISSING: Final = "ack_missing"
PARKED: Final = "parked"
EXHAUSTED: Final = "attempts_exhausted"
SENTENCES: Final = {
    ACK_MISSING: "WhatsApp Web has it, but its server does not acknowledge it.",
    PARKED: "WhatsApp Web does not know it; the settings want a person to decide what follows.",
    EXHAUSTED: f"It was tried {MOST_ATTEMPTS} times; a person must decide what follows.",
}

DEFINITE: Final = frozenset(
    {
        "not_on_whatsapp",
        "invalid_jid",
        "binding_missing",
        "send_refused",
        "unsupported_chat",
        "unsupported_kind",
        "not_permitted",
        "target_not_found",
        "media_unreadable",
        "media_too_large",
    }
)
"""Adapter codes that mean: certainly not handed over, and trying again would not help."""


class UnknownPolicy(StrEnum):
    """What to do with a message that WhatsApp Web does not know: send it again, or leave it."""

    RESEND_SAME_ID = "resend_same_id"
    PARK = "park"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRules:
    """`pending` is for how many seconds a message may be without an ack before a repair.

    One with a file may be so for as long as its upload may take on top.

    `typing` is for how many seconds typing is shown before a reply; 0 for not at all.
    """

    unknown_policy: UnknownPolicy = UnknownPolicy.RESEND_SAME_ID
    pending: float = 60.0
    typing: float = 0.0


@dataclass(frozen=True, slots=True)
class Settle:
    """WhatsApp's ack says what became of it."""

    ack: int


@dataclass(frozen=True, slots=True)
class Await:
    """WhatsApp Web has it and tries by itself. `repair`: for too long; have the session mended."""

    repair: bool


@dataclass(frozen=True, slots=True)
class Resend:
    """Send it again, under the same id."""


@dataclass(frozen=True, slots=True)
class Expire:
    """It did not go out, and its time is over."""


@dataclass(frozen=True, slots=True)
class Stay:
    """It stays in doubt, for this reason."""

    code: str


Verdict = Settle | Await | Resend | Expire | Stay


def judge(
    row: MessageRow, ack: int | None, waited: float, now_ms: int, rules: DeliveryRules
) -> Verdict:
    """Return what follows from the answer to the question after a message in doubt.

    `ack` None: WhatsApp Web does not know it. `waited` is for how many seconds it is known to be
    without an ack. A session is repaired for a message once: what that does not help is none of
    the session's doing.
    """
    if ack is not None and ack != 0:
        return Settle(ack)
    if ack == 0:
        late = waited >= rules.pending + upload_seconds(row.content)
        return Await(repair=late and row.error_code != ACK_MISSING)
    if row.expires_ms is not None and row.expires_ms <= now_ms:
        return Expire()
    if rules.unknown_policy is UnknownPolicy.PARK:
        return Stay(PARKED)
    return Resend() if row.attempts < MOST_ATTEMPTS else Stay(EXHAUSTED)


def is_definite(row: MessageRow, reason: str) -> bool:
    """Tell whether a refusal is its end: an earlier attempt may have been what nobody knows of."""
    return reason in DEFINITE and not row.possible_duplicate
