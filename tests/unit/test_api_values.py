"""Bodies, fields, problems and answers as values, without HTTP."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from actors.live import LiveSession, QrCode
from actors.messages import Refused
from api.errors import (
    ApiError,
    FieldError,
    fields_invalid,
    from_store,
    problem_response,
)
from api.parsing import parse_object
from api.refusals import refused
from api.schemas import MAX_TEXT_CHARS, MessagesQuery, NewMessage, NewSession, SessionsQuery
from api.times import rfc3339
from api.views import as_of_now, message_out, session_out
from storage.messages import Direction, MessageRow, MessageState, Priority
from storage.store import (
    Desired,
    MessageNotFound,
    Provider,
    SessionNotFound,
    SessionRow,
    SessionStatistics,
    SessionStatus,
    StoreBusy,
    StoreDamaged,
    StoreError,
    StoreFull,
    StoreUnusable,
)

pytestmark = pytest.mark.unit

ULID = "01J9ZS8XQ2N4B6D8F0H2K4M6P8"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" ",
        b"{",
        b"null",
        b"true",
        b"1",
        b'"text"',
        b"[]",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": 1, "a": 2}',
        b'{"a": {"b": 1, "b": 1}}',
        b'{"a": "\xff"}',
        b'{"a": "\\ud800"}',
        b'{"\\udfff": 1}',
        b'{"a": "\n"}',
        b'\xef\xbb\xbf{"a": 1}',
        '{"a": 1}'.encode("utf-16"),
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b'{"a": ' + b"9" * 10_000 + b"}",
        b"{} {}",
    ],
    ids=lambda raw: repr(raw[:24]),
)
def test_parse_object_refuses(raw: bytes) -> None:
    with pytest.raises(ApiError) as caught:
        parse_object(raw)
    assert caught.value.problem.code == "body_invalid"
    assert caught.value.problem.status == 400


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), JSON))
def test_parse_object_reads_what_json_writes(value: dict[str, Any]) -> None:
    finite = json.loads(json.dumps(value), parse_constant=lambda _: None)
    assert parse_object(json.dumps(finite).encode()) == finite


@given(st.binary())
def test_parse_object_never_fails_otherwise(raw: bytes) -> None:
    try:
        outcome: object = parse_object(raw)
    except ApiError as error:
        outcome = error.problem.code
    assert isinstance(outcome, dict) or outcome == "body_invalid"


@pytest.mark.parametrize("name", ["a", "0", "team-1", "a_b", "a" * 63])
def test_names_that_are_accepted(name: str) -> None:
    assert NewSession(name=name) == NewSession(name=name, start=False)


@pytest.mark.parametrize(
    "name", ["", "-a", "_a", "A", "a b", "ä", "a" * 64, "a\n", "a/b", "..", ULID, 1, None, True]
)
def test_names_that_are_refused(name: object) -> None:
    with pytest.raises(ValidationError):
        NewSession.model_validate({"name": name})


@pytest.mark.parametrize("start", [1, 0, "true", "yes", None, [], {}])
def test_start_is_a_boolean_and_nothing_else(start: object) -> None:
    with pytest.raises(ValidationError):
        NewSession.model_validate({"name": "a", "start": start})


@pytest.mark.parametrize("text", ["a", " a ", "\na", "🙂" * MAX_TEXT_CHARS, "‎a", "0", "\u0301"])
def test_texts_that_are_accepted(text: str) -> None:
    assert NewMessage(to="+15550100199", text=text).text == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\n\t ",
        "\u00a0\u2003",
        "\u200b",
        "\u200e\ufeff",
        "a\0b",
        "a" * (MAX_TEXT_CHARS + 1),
    ],
    ids=lambda text: repr(text[:8]),
)
def test_texts_that_are_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        NewMessage(to="+15550100199", text=text)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "501"}, "limit"),
        ({"limit": "-1"}, "limit"),
        ({"limit": "x"}, "limit"),
        ({"limit": ""}, "limit"),
        ({"limit": "1.5"}, "limit"),
        ({"after": "x"}, "after"),
        ({"after": ULID.lower()}, "after"),
        ({"after": ULID + "0"}, "after"),
        ({"page": "2"}, "page"),
    ],
)
def test_sessions_queries_that_are_refused(query: dict[str, str], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        SessionsQuery.model_validate(query)
    assert [e["loc"] for e in caught.value.errors()] == [(field,)]


def test_a_messages_query_takes_text_and_gives_values() -> None:
    query = MessagesQuery.model_validate(
        {"before": ULID, "limit": "7", "direction": "inbound", "chat": "+1 555 0100199"}
    )
    assert query == MessagesQuery(
        before=ULID, limit=7, direction=Direction.INBOUND, chat="15550100199@c.us"
    )


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (SessionNotFound("/secret"), 404, "session_not_found"),
        (MessageNotFound("/secret"), 404, "message_not_found"),
        (StoreBusy("/secret"), 503, "storage_busy"),
        (StoreFull("/secret"), 507, "storage_full"),
        (StoreUnusable("/secret"), 503, "storage_unusable"),
        (StoreDamaged("/secret is damaged", "start again"), 503, "storage_unusable"),
        (StoreError("/secret"), 503, "storage_failed"),
    ],
)
def test_storage_failures_become_problems(error: StoreError, status: int, code: str) -> None:
    problem = from_store(error)
    assert (problem.status, problem.code) == (status, code)
    assert ("Retry-After" in problem.headers) is (code == "storage_busy")
    assert "/secret" not in repr(problem)


@pytest.mark.parametrize(
    ("code", "status", "shown"),
    [
        ("fleet_down", 503, "fleet_down"),
        ("shutting_down", 503, "fleet_down"),
        ("session_not_found", 404, "session_not_found"),
        ("fleet_full", 409, "fleet_full"),
    ],
)
def test_refusals_become_problems(code: str, status: int, shown: str) -> None:
    problem = refused(Refused(code=code, message="Stop another session first.")).problem
    assert (problem.status, problem.code) == (status, shown)


def test_a_problem_document_is_complete() -> None:
    error = refused(Refused(code="fleet_full", message="Stop another session first."))
    response = problem_response(error.problem, "r1")
    assert response.content_type == "application/problem+json"
    assert isinstance(response.body, bytes)
    assert json.loads(response.body) == {
        "type": "urn:wafleet:error:fleet_full",
        "title": "The fleet refused the command",
        "status": 409,
        "detail": "Stop another session first.",
        "code": "fleet_full",
        "instance": "urn:wafleet:request:r1",
    }


def test_field_errors_are_listed() -> None:
    error = fields_invalid((FieldError("a", "is wrong"),))
    response = problem_response(error.problem, "r1")
    assert isinstance(response.body, bytes)
    assert json.loads(response.body)["errors"] == [{"field": "a", "message": "is wrong"}]


@given(st.integers(0, 253_402_300_799_999))
def test_times_are_rfc_3339_and_exact(ms: int) -> None:
    text = rfc3339(ms)
    assert len(text) == 24
    assert text.endswith("Z")
    parsed = datetime.fromisoformat(text)
    assert parsed.tzinfo == UTC
    whole = int(parsed.replace(microsecond=0).timestamp())
    assert whole * 1000 + parsed.microsecond // 1000 == ms


def session_row(**changes: Any) -> SessionRow:
    fields: dict[str, Any] = {
        "id": ULID,
        "workspace_id": ULID,
        "name": "a",
        "provider": Provider.WEBJS,
        "is_primary": False,
        "is_active": True,
        "phone_number": None,
        "desired": Desired.RUNNING,
        "status": SessionStatus.QR_SCANNING,
        "reason": "qr_shown",
        "detail": None,
        "since_ms": 1,
        "last_activity_ms": None,
        "last_connected_ms": None,
        "created_by": None,
        "created_ms": 0,
        "updated_ms": 2,
        "statistics": SessionStatistics(),
    }
    return SessionRow(**{**fields, **changes})


def test_a_session_shows_its_row_and_what_is_live() -> None:
    live = LiveSession(
        session_id=ULID,
        incarnation=1,
        phase="any",
        status="qr_scanning",
        reason="qr_shown",
        since_ms=2,
        evidence_ms=3,
        qr=QrCode(text="2@canary", number=1, shown_ms=3),
    )
    out = session_out(session_row(), live)
    assert out.qr_available
    assert out.evidence_at == "1970-01-01T00:00:00.003Z"
    assert out.reason_text.startswith("A QR code waits")
    assert "canary" not in out.model_dump_json()


def test_the_board_is_ahead_of_the_store() -> None:
    live = LiveSession(
        session_id=ULID,
        incarnation=1,
        phase="connected",
        status="connected",
        reason="degraded",
        since_ms=9,
        detail="missing: a",
        phone_number="15550100001",
    )
    now = as_of_now(session_row(detail="as stored"), live)
    assert (now.status, now.reason, now.detail) == ("connected", "degraded", "missing: a")
    assert (now.since_ms, now.phone_number) == (9, "15550100001")
    assert as_of_now(session_row(detail="as stored"), None).detail == "as stored"


def test_a_session_without_an_actor_has_no_evidence() -> None:
    out = session_out(session_row(), None)
    assert (out.evidence_at, out.qr_available) == (None, False)


def test_an_unknown_reason_is_shown_as_it_is() -> None:
    assert session_out(session_row(reason="from_the_future"), None).reason_text == "from_the_future"


def test_a_message_shows_its_error_and_sender() -> None:
    row = MessageRow(
        id=ULID,
        session_id=ULID,
        direction=Direction.OUTBOUND,
        chat="15550100199@c.us",
        sender=None,
        wa_id="3EB0",
        kind="text",
        body="hello",
        content={},
        state=MessageState.FAILED,
        error_code="send_refused",
        error_detail=None,
        attempts=1,
        priority=Priority.CONVERSATION,
        possible_duplicate=False,
        send_at_ms=None,
        expires_ms=None,
        created_ms=0,
        updated_ms=0,
        attempted_ms=None,
        sent_ms=None,
        delivered_ms=None,
        read_ms=None,
        edited_ms=None,
        revoked_ms=None,
    )
    shown = json.loads(message_out(row).model_dump_json(by_alias=True))
    assert shown["error"] == {"code": "send_refused", "message": "send_refused"}
    assert shown["from"] is None
    assert "sender" not in shown
    assert "wa_id" not in shown
