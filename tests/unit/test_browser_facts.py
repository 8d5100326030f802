"""The decoder of the adapter's reports: right on good ones, total on everything else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.browser.driver import (
    AckChanged,
    LoggedOut,
    MessageReceived,
    PageLoaded,
    PageView,
    QrIssued,
    ServerHeard,
    SocketChanged,
    UpdateRequired,
)
from actors.browser.facts import (
    DECODERS,
    Rejected,
    decode_answer,
    decode_fact,
    decode_view,
)
from actors.browser.report_fields import clean

pytestmark = pytest.mark.unit

MESSAGE = {
    "event": "message",
    "waId": "3EB0",
    "chat": "15550100002@c.us",
    "sender": "15550100002@c.us",
    "kind": "chat",
    "body": "hello",
    "sent": 1_700_000_000,
}

GOOD = [
    (
        {"event": "loaded", "whatsappVersion": "2.3", "wajsVersion": "4.6.0", "missing": ["a"]},
        PageLoaded(whatsapp_version="2.3", wajs_version="4.6.0", missing=("a",)),
    ),
    (
        {"event": "loaded", "missing": ["a", 1, ""], "critical": ["a"]},
        PageLoaded(whatsapp_version=None, wajs_version="unknown", missing=("a",), critical=("a",)),
    ),
    ({"event": "qr", "text": "2@abc,x,y,z"}, QrIssued(text="2@abc,x,y,z")),
    (
        {"event": "socket", "socket": "UNPAIRED", "mode": None, "registered": 1, "me": ""},
        SocketChanged(socket="UNPAIRED", mode=None, registered=False, synced=False, me=None),
    ),
    (
        {
            "event": "socket",
            "socket": "CONNECTED",
            "mode": "MAIN",
            "registered": True,
            "synced": True,
            "me": "15550100001@c.us",
        },
        SocketChanged(
            socket="CONNECTED", mode="MAIN", registered=True, synced=True, me="15550100001@c.us"
        ),
    ),
    ({"event": "logged_out", "reason": None}, LoggedOut(reason=None)),
    ({"event": "logged_out", "reason": "user_initiated"}, LoggedOut(reason="user_initiated")),
    ({"event": "update_required"}, UpdateRequired()),
    (
        MESSAGE,
        MessageReceived(
            wa_id="3EB0",
            chat="15550100002@c.us",
            sender="15550100002@c.us",
            kind="chat",
            body="hello",
            sent_ms=1_700_000_000_000,
        ),
    ),
    ({"event": "ack", "waIds": ["A", "B"], "ack": 2}, AckChanged(wa_ids=("A", "B"), ack=2)),
    ({"event": "ack", "waIds": ["A"], "ack": -1}, AckChanged(wa_ids=("A",), ack=-1)),
    ({"event": "server_heard"}, ServerHeard()),
]

BAD: list[tuple[Any, str]] = [
    (None, "unknown"),
    (b"{}", "unknown"),
    ("", "unknown"),
    ("{", "unknown"),
    ("[]", "unknown"),
    ("[" * 100_000, "unknown"),
    ("9" * 10_000, "unknown"),
    ('{"event": "nonsense"}', "unknown"),
    ('{"event": ["qr"]}', "unknown"),
    ('{"event": "qr"}', "qr"),
    ('{"event": "socket", "socket": 5}', "socket"),
    ('{"event": "ack", "waIds": [], "ack": 1}', "ack"),
    ('{"event": "ack", "waIds": ["A"], "ack": true}', "ack"),
    ('{"event": "ack", "waIds": ["A"], "ack": NaN}', "ack"),
    ('{"event": "ack", "waIds": ["A"], "ack": 1e999}', "ack"),
    (json.dumps({**MESSAGE, "sent": -1}), "message"),
    (json.dumps({**MESSAGE, "sent": "now"}), "message"),
    (json.dumps({**MESSAGE, "chat": None}), "message"),
    ('{"event": "adapter_failed", "where": "reportQr"}', "adapter_failed"),
]

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
FIELDS = ("text", "socket", "mode", "waId", "waIds", "ack", "chat", "sender", "kind", "sent", "me")
REPORTS = st.fixed_dictionaries(
    {"event": st.sampled_from(sorted(DECODERS))},
    optional=dict.fromkeys(FIELDS, ANY_JSON),
)


@pytest.mark.parametrize(("report", "fact"), GOOD)
def test_reads_what_the_adapter_says(report: dict[str, Any], fact: object) -> None:
    assert decode_fact(json.dumps(report)) == fact


@pytest.mark.parametrize(("payload", "event"), BAD)
def test_rejects_what_means_nothing(payload: Any, event: str) -> None:
    fact = decode_fact(payload)
    assert isinstance(fact, Rejected)
    assert fact.event == event
    assert fact.problem


@given(ANY_JSON | REPORTS)
def test_no_json_makes_it_raise(value: Any) -> None:
    payload = json.dumps(value)
    fact = decode_fact(payload)
    json.dumps(repr(fact)).encode()
    decode_answer(payload)


@given(st.text() | st.binary() | st.none() | st.integers())
def test_nothing_else_makes_it_raise(payload: object) -> None:
    decode_fact(payload)
    decode_answer(payload)


@given(st.text(st.characters()))
def test_text_can_always_be_written_down(text: str) -> None:
    report = json.dumps({**MESSAGE, "body": text})
    fact = decode_fact(report)
    assert isinstance(fact, MessageReceived)
    fact.body.encode()
    assert fact.body == text or "\ufffd" in fact.body


def test_a_lone_surrogate_is_replaced() -> None:
    assert clean("a\ud800b") == "a\ufffdb"
    assert clean("😀") == "😀"


def test_answers() -> None:
    assert decode_answer('{"ok": true, "value": {"ack": 1}}').value == {"ack": 1}
    refused = decode_answer('{"ok": false, "code": "not_connected", "message": "m"}')
    assert (refused.ok, refused.code, refused.message) == (False, "not_connected", "m")
    assert decode_answer('{"ok": false}').code == "bad_answer"
    assert decode_answer(None).code == "bad_answer"


@pytest.mark.parametrize(
    ("value", "view"),
    [
        (
            {"socket": "CONNECTED", "mode": "MAIN", "unackedMs": 1500},
            PageView(socket="CONNECTED", mode="MAIN", unacked_seconds=1.5),
        ),
        (
            {"socket": "OPENING", "mode": None, "unackedMs": None},
            PageView(socket="OPENING", mode=None),
        ),
        ({"socket": "X", "unackedMs": -1}, PageView(socket="X", mode=None)),
        ({"socket": "X", "unackedMs": True}, PageView(socket="X", mode=None)),
        ({"mode": "MAIN"}, None),
        ("CONNECTED", None),
        (None, None),
    ],
)
def test_a_view_is_read_or_means_nothing(value: object, view: PageView | None) -> None:
    """The page is not trusted to answer in form."""
    assert decode_view(value) == view
