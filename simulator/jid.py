"""Numbers and addresses: phone numbers, LIDs and the JIDs that the wire carries."""

from __future__ import annotations

import hashlib
import re

from simulator.errors import InvalidRequestError

PN_SERVER = "c.us"
LID_SERVER = "lid"
GROUP_SERVER = "g.us"

_NUMBER = re.compile(r"[1-9][0-9]{6,14}")
_LID_FLOOR = 10**14
_LID_SPAN = 9 * 10**14


def check_number(number: str) -> str:
    """Return ``number`` if it is 7 to 15 digits in international form, else InvalidRequestError."""
    if not _NUMBER.fullmatch(number):
        raise InvalidRequestError(
            "invalid_number",
            f"{number!r} is not a phone number: give 7 to 15 digits, no plus sign or spaces.",
        )
    return number


def lid_of(number: str) -> str:
    """The 15-digit linked identity of a number; the same number always has the same one."""
    digest = hashlib.sha256(b"lid:" + number.encode()).digest()
    return str(_LID_FLOOR + int.from_bytes(digest[:8], "big") % _LID_SPAN)


def pn_jid(number: str) -> str:
    return f"{number}@{PN_SERVER}"


def lid_jid(number: str) -> str:
    return f"{lid_of(number)}@{LID_SERVER}"


def group_jid(group_id: str) -> str:
    return f"{group_id}@{GROUP_SERVER}"


def split_jid(jid: str) -> tuple[str, str]:
    """Split ``user[:device]@server`` into user and server, both empty when it is not a JID."""
    user, at, server = jid.partition("@")
    if not at or not user or not server:
        return "", ""
    if server == "s.whatsapp.net":
        server = PN_SERVER
    return user.partition(":")[0], server
