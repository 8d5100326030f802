"""The tables of what may be done about a session: every reason, in every phase it has."""

from __future__ import annotations

import pytest

from actors.events import Phase
from actors.reasons import REASONS
from actors.verbs import QrVerb, ReconnectVerb, qr_verb, reconnect_verb
from storage.store import SessionStatus

pytestmark = pytest.mark.unit

QR, AUTHENTICATED = SessionStatus.QR_SCANNING, SessionStatus.AUTHENTICATED
CONNECTED, DOWN, FAILED = (
    SessionStatus.CONNECTED,
    SessionStatus.DISCONNECTED,
    SessionStatus.FAILED,
)
NO = "no"
OPEN, REFRESH = QrVerb.OPEN, QrVerb.REFRESH
NOTHING, START, RESTART = ReconnectVerb.NOTHING, ReconnectVerb.START, ReconnectVerb.RESTART

TABLE = [
    # status, reason, phase, another QR code, reconnect
    (QR, "qr_shown", "qr", REFRESH, NO),
    (QR, "qr_expected", "qr", REFRESH, NO),
    (AUTHENTICATED, "syncing", "authenticated", NO, NOTHING),
    (CONNECTED, "ready", "connected", NO, NOTHING),
    (CONNECTED, "degraded", "connected", NO, RESTART),
    (CONNECTED, "a_reason_to_come", "connected", NO, RESTART),
    (DOWN, "created", None, OPEN, NO),
    (DOWN, "qr_timeout", None, OPEN, NO),
    (DOWN, "qr_limited", None, OPEN, NO),
    (DOWN, "logged_out", None, OPEN, NO),
    (DOWN, "qr_timeout", "ended", NO, NO),
    (DOWN, "logged_out", "stopping", NO, NO),
    (DOWN, "stopping", "stopping", NO, NO),
    (DOWN, "stopped", None, NO, NO),
    (DOWN, "queued", "queued", NO, NOTHING),
    (DOWN, "launching", "launching", NO, NOTHING),
    (DOWN, "opening", "opening", NO, NOTHING),
    (DOWN, "resuming", "resuming", NO, NOTHING),
    (DOWN, "restarting", None, NO, NOTHING),
    (DOWN, "restarting", "ended", NO, NOTHING),
    (DOWN, "socket_lost", "lost", NO, RESTART),
    (DOWN, "browser_exited", None, NO, START),
    (DOWN, "page_crashed", None, NO, START),
    (DOWN, "open_timeout", None, NO, START),
    (DOWN, "unreachable", None, NO, START),
    (DOWN, "launch_failed", None, NO, START),
    (DOWN, "actor_crashed", None, NO, START),
    (DOWN, "capacity_reached", None, NO, START),
    (DOWN, "supervisor_stopped", None, NO, START),
    (DOWN, "supervisor_died", None, NO, START),
    (DOWN, "a_reason_to_come", None, NO, START),
    (FAILED, "crash_loop", None, NO, START),
    (FAILED, "conflict", None, NO, START),
    (FAILED, "chromium_missing", None, NO, START),
    (FAILED, "profile_in_use", None, NO, START),
    (FAILED, "proxy_blocked", None, NO, START),
    (FAILED, "deprecated_version", None, NO, START),
    (FAILED, "page_incompatible", None, NO, START),
    (FAILED, "banned", None, NO, NO),
]


@pytest.mark.parametrize(("status", "reason", "phase", "qr", "back"), TABLE)
def test_what_is_permitted(
    status: SessionStatus, reason: str, phase: str | None, qr: str, back: str
) -> None:
    """Where it is not, a sentence says what to do."""
    for found, expected in (
        (qr_verb(status, reason, phase), qr),
        (reconnect_verb(status, reason, phase), back),
    ):
        if expected is NO:
            assert not isinstance(found, QrVerb | ReconnectVerb)
            assert found.endswith((".", ")."))
        else:
            assert found == expected


def test_no_state_is_without_an_answer_and_no_login_is_put_at_risk() -> None:
    """Whatever reason comes: a code only where there is no login, a restart only where there is."""
    phases = [None, *(phase.value for phase in Phase)]
    for status in SessionStatus:
        for reason in [*REASONS, "a_reason_to_come"]:
            for phase in phases:
                qr, back = qr_verb(status, reason, phase), reconnect_verb(status, reason, phase)
                assert qr
                assert back
                if qr in {OPEN, REFRESH}:
                    assert back not in {START, RESTART}
                if status in {CONNECTED, AUTHENTICATED}:
                    assert qr not in {OPEN, REFRESH}
                if reason == "banned":
                    assert back != START or status is not FAILED
