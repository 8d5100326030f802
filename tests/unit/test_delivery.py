"""What follows from WhatsApp Web's answer about a message in doubt."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.delivery import (
    ACK_MISSING,
    EXHAUSTED,
    MOST_ATTEMPTS,
    PARKED,
    SENTENCES,
    Await,
    DeliveryRules,
    Expire,
    Resend,
    Settle,
    Stay,
    UnknownPolicy,
    Verdict,
    judge,
)
from storage.messages import Direction, MessageRow, MessageState, Priority

pytestmark = pytest.mark.unit

NOW = 1_800_000_000_000
RULES = DeliveryRules(pending=60)
PARK = DeliveryRules(pending=60, unknown_policy=UnknownPolicy.PARK)
ROW = MessageRow(
    id="01ARZ3NDEKTSV4RRFFQ69G5FAV",
    session_id="01ARZ3NDEKTSV4RRFFQ69G5FAW",
    direction=Direction.OUTBOUND,
    chat="15551230001@c.us",
    sender=None,
    wa_id="3EB0",
    kind="text",
    body="hello",
    content={},
    state=MessageState.UNKNOWN,
    error_code="no_answer",
    error_detail=None,
    attempts=1,
    priority=Priority.CONVERSATION,
    possible_duplicate=False,
    send_at_ms=None,
    expires_ms=None,
    created_ms=NOW,
    updated_ms=NOW,
    attempted_ms=NOW,
    sent_ms=None,
    delivered_ms=None,
    read_ms=None,
    edited_ms=None,
    revoked_ms=None,
)
MARKED = replace(ROW, error_code=ACK_MISSING)
OVER = replace(ROW, expires_ms=NOW)
FILM = replace(ROW, kind="video", content={"media": "M", "size": 64 * 1024 * 1024})


@pytest.mark.parametrize(
    ("row", "ack", "waited", "rules", "verdict"),
    [
        (ROW, 1, 0, RULES, Settle(1)),
        (ROW, 4, 0, PARK, Settle(4)),
        (ROW, -1, 0, RULES, Settle(-1)),
        (OVER, 2, 0, RULES, Settle(2)),  # it went out all the same
        (ROW, 0, 59.9, RULES, Await(repair=False)),
        (ROW, 0, 60, RULES, Await(repair=True)),
        (MARKED, 0, 600, RULES, Await(repair=False)),  # once is enough
        (OVER, 0, 0, RULES, Await(repair=False)),
        (ROW, None, 0, RULES, Resend()),
        (MARKED, None, 0, RULES, Resend()),
        (replace(ROW, attempts=2), None, 0, RULES, Resend()),
        (replace(ROW, attempts=3), None, 0, RULES, Stay(EXHAUSTED)),
        (ROW, None, 0, PARK, Stay(PARKED)),
        (FILM, 0, 60 + 511, RULES, Await(repair=False)),  # it may still be uploading
        (FILM, 0, 60 + 512, RULES, Await(repair=True)),
        (OVER, None, 0, RULES, Expire()),
        (OVER, None, 0, PARK, Expire()),
        (replace(ROW, expires_ms=NOW + 1), None, 0, RULES, Resend()),
    ],
)
def test_what_follows(
    row: MessageRow, ack: int | None, waited: float, rules: DeliveryRules, verdict: Verdict
) -> None:
    assert judge(row, ack, waited, NOW, rules) == verdict


@given(
    ack=st.none() | st.integers(-1, 4),
    attempts=st.integers(1, 9),
    expires=st.none() | st.integers(NOW - 5, NOW + 5),
    policy=st.sampled_from(UnknownPolicy),
)
def test_only_what_whatsapp_does_not_know_is_sent_again(
    ack: int | None, attempts: int, expires: int | None, policy: UnknownPolicy
) -> None:
    """And only in time, within the attempts, and if the settings want it."""
    row = replace(ROW, attempts=attempts, expires_ms=expires)
    verdict = judge(row, ack, 0, NOW, DeliveryRules(unknown_policy=policy))
    may = (
        ack is None
        and attempts < MOST_ATTEMPTS
        and (expires is None or expires > NOW)
        and policy is UnknownPolicy.RESEND_SAME_ID
    )
    assert (verdict == Resend()) is may
    if isinstance(verdict, Stay):
        assert verdict.code in SENTENCES
