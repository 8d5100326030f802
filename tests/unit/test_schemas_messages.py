"""The shapes of messages by kind: what is taken, what is refused, and how the refusal names it."""

from __future__ import annotations

from typing import Any

import pytest

from api.errors import ApiError
from api.parsing import validate
from api.schemas_messages import KINDS, NewMessageOfAnyKind, TextMessage

pytestmark = pytest.mark.unit

TO = "+1 555 010 0199"
JID = "15550100199@c.us"
ID = "01J9ZS8XQ2N4B6D8F0H2K4M6P8"
CARD = {"name": "Dora", "phone": "+1 555 010 0007"}

GOOD: list[dict[str, Any]] = [
    {"to": TO, "text": "x"},
    {"to": TO, "text": "x", "kind": "text", "reply_to": ID, "mentions": [TO], "link_preview": True},
    {"kind": "image", "to": TO, "media": ID, "caption": "look", "view_once": True},
    {"kind": "video", "to": TO, "media": ID, "gif": True, "reply_to": ID},
    {"kind": "document", "to": TO, "media": ID, "filename": "a.pdf"},
    {"kind": "audio", "to": TO, "media": ID},
    {"kind": "voice", "to": TO, "media": ID},
    {"kind": "location", "to": TO, "latitude": -90, "longitude": 180.0, "name": "x"},
    {"kind": "contact", "to": TO, "contacts": [CARD]},
    {"kind": "poll", "to": TO, "question": "?", "options": ["a", "b"], "selectable": 2},
    {"kind": "vote", "message": ID, "options": []},
    {"kind": "reaction", "message": ID, "emoji": "👩🏽‍🚀"},
    {"kind": "reaction", "message": ID, "emoji": "1️⃣"},
    {"kind": "reaction", "message": ID, "emoji": ""},
    {"kind": "edit", "message": ID, "text": "y"},
    {"kind": "revoke", "message": ID},
    {"kind": "forward", "to": TO, "message": ID},
]


def refused(value: dict[str, Any]) -> list[str]:
    with pytest.raises(ApiError) as caught:
        validate(NewMessageOfAnyKind, value)
    assert caught.value.problem.code == "fields_invalid"
    return [error.field for error in caught.value.problem.errors]


@pytest.mark.parametrize("value", GOOD, ids=lambda v: str(v.get("kind", "bare")))
def test_good_messages_are_taken(value: dict[str, Any]) -> None:
    message = validate(NewMessageOfAnyKind, value).root
    assert message.kind == value.get("kind", "text")


def test_every_kind_has_an_example() -> None:
    assert {value.get("kind", "text") for value in GOOD} == set(KINDS)


def test_a_bare_text_is_what_it_was() -> None:
    message = validate(NewMessageOfAnyKind, {"to": TO, "text": "hello"}).root
    assert message == TextMessage(to=JID, text="hello")


@pytest.mark.parametrize("value", GOOD, ids=lambda v: str(v.get("kind", "bare")))
def test_every_field_that_has_no_default_is_needed_and_no_other_is_known(
    value: dict[str, Any],
) -> None:
    assert refused({**value, "zzz": 1}) == ["zzz"]
    needed = {"to", "text", "media", "latitude", "longitude", "contacts", "question", "options"}
    for name in {*needed, "message", "emoji"} & set(value):
        assert name in refused({k: v for k, v in value.items() if k != name})


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ({"kind": "pigeon", "to": TO}, "kind"),
        ({"kind": 1, "to": TO}, "kind"),
        ({"kind": None, "to": TO, "text": "x"}, "kind"),
        ({"to": "nobody", "text": "x"}, "to"),
        ({"to": TO, "text": " "}, "text"),
        ({"to": TO, "text": "x" * 65_537}, "text"),
        ({"to": TO, "text": "x", "mentions": ["nobody"]}, "mentions.0"),
        ({"to": TO, "text": "x", "reply_to": "1"}, "reply_to"),
        ({"kind": "image", "to": TO, "media": "x"}, "media"),
        ({"kind": "image", "to": TO, "media": ID, "caption": "x" * 1025}, "caption"),
        ({"kind": "document", "to": TO, "media": ID, "filename": "../a"}, "filename"),
        ({"kind": "document", "to": TO, "media": ID, "filename": ".."}, "filename"),
        ({"kind": "location", "to": TO, "latitude": 91, "longitude": 0}, "latitude"),
        ({"kind": "location", "to": TO, "latitude": 1, "longitude": "0"}, "longitude"),
        ({"kind": "contact", "to": TO, "contacts": []}, "contacts"),
        ({"kind": "contact", "to": TO, "contacts": [{**CARD, "name": " "}]}, "contacts.0.name"),
        (
            {"kind": "contact", "to": TO, "contacts": [{**CARD, "phone": "1@lid"}]},
            "contacts.0.phone",
        ),
        ({"kind": "poll", "to": TO, "question": "?", "options": ["a"]}, "options"),
        ({"kind": "poll", "to": TO, "question": "?", "options": ["a", "a"]}, "options"),
        ({"kind": "poll", "to": TO, "question": "?", "options": [*"abcdefghijklm"]}, "options"),
        (
            {"kind": "poll", "to": TO, "question": "?", "options": ["a", "b"], "selectable": 3},
            "selectable",
        ),
        ({"kind": "vote", "message": ID, "options": ["a", "a"]}, "options"),
        ({"kind": "reaction", "message": ID, "emoji": "no"}, "emoji"),
        ({"kind": "reaction", "message": ID, "emoji": "👍 "}, "emoji"),
        ({"kind": "reaction", "message": ID, "emoji": "ж"}, "emoji"),
        ({"kind": "reaction", "message": ID, "emoji": "+"}, "emoji"),
        ({"kind": "edit", "message": ID, "text": ""}, "text"),
        ({"kind": "revoke", "message": "x"}, "message"),
        ({"kind": "forward", "to": "x", "message": ID}, "to"),
    ],
)
def test_what_is_wrong_is_named_without_the_kind_on_the_way(
    value: dict[str, Any], field: str
) -> None:
    assert refused(value) == [field]
