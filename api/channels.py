"""The channels of broadcasts: their names, and whom each is for (pure).

private-wafleet-workspace-{id}   the states of all sessions of the workspace
private-wafleet-session-{id}     the states of one session
private-wafleet-qr-{id}          its QR codes; whoever reads one can link a phone
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

from api.schemas import ULID_PATTERN

_PREFIX: Final = "private-wafleet-"


class Channel(StrEnum):
    """What a channel is about; its id is that of a workspace or a session."""

    WORKSPACE = "workspace"
    SESSION = "session"
    QR = "qr"


_NAME: Final = re.compile(rf"{_PREFIX}({'|'.join(Channel)})-({ULID_PATTERN[1:-1]})", re.ASCII)


def channel_name(kind: Channel, about: str) -> str:
    """Return the name of a channel."""
    return f"{_PREFIX}{kind}-{about}"


def parse_channel(name: str) -> tuple[Channel, str] | None:
    """Take a channel's name apart; None if it is none of ours."""
    found = _NAME.fullmatch(name)
    return None if found is None else (Channel(found[1]), found[2])
