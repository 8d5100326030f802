"""How far a message got: the one pure rule by which a receipt changes an outbound message's state.

Receipts arrive late, twice and out of order, so the rule is a maximum over a fixed order of states:
applying it again changes nothing, and any order of the same receipts ends in the same state.
"""

from __future__ import annotations

from typing import Final

from storage.messages import MessageState

_RANK: Final[dict[MessageState, int]] = {
    MessageState.ACCEPTED: 0,
    MessageState.SENDING: 1,
    MessageState.UNKNOWN: 2,
    MessageState.FAILED: 3,
    MessageState.EXPIRED: 3,
    MessageState.CANCELLED: 3,
    MessageState.SENT: 4,
    MessageState.DELIVERED: 5,
    MessageState.READ: 6,
    MessageState.PLAYED: 7,
}

_STATE_OF_ACK: Final[dict[int, MessageState]] = {
    -1: MessageState.FAILED,
    1: MessageState.SENT,
    2: MessageState.DELIVERED,
    3: MessageState.READ,
    4: MessageState.PLAYED,
}

SEND_REFUSED: Final = "send_refused"
"""The error code of a message that WhatsApp refused with ack -1."""


def advance(state: MessageState, ack: int) -> MessageState:
    """Return the state after a receipt: -1 refused, 1 sent, 2 delivered, 3 read, 4 played.

    Never goes backwards. A receipt of 1 or more also repairs `unknown` and `failed`: WhatsApp's
    word beats our guess. A refusal only counts while nothing better is known. Other acks (0 means
    pending) and inbound messages change nothing.
    """
    target = _STATE_OF_ACK.get(ack)
    if target is None or state is MessageState.RECEIVED:
        return state
    return target if _RANK[target] > _RANK[state] else state


def reached(state: MessageState, mark: MessageState) -> bool:
    """Return whether an outbound message in `state` has proven to be at least at `mark`.

    `mark` is sent, delivered or read: a delivered message was also sent.
    """
    return state is not MessageState.RECEIVED and _RANK[state] >= _RANK[mark]
