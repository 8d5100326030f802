from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from api.recipients import RecipientInvalid, parse_recipient

pytestmark = pytest.mark.unit

NUMBERS = st.from_regex(r"[1-9][0-9]{6,14}", fullmatch=True)
PUNCTUATION = st.sampled_from([" ", "-", "(", ")", "\u00a0", "\u202f", "\u2011", "\u2013", "\t"])


@pytest.mark.parametrize(
    ("text", "jid"),
    [
        ("491711234567", "491711234567@c.us"),
        ("+491711234567", "491711234567@c.us"),
        ("+49 171 123-45-67", "491711234567@c.us"),
        ("+1 (555) 010-0199", "15550100199@c.us"),
        ("  +1 555 0100199\n", "15550100199@c.us"),
        ("+1\u00a0555\u20110100199", "15550100199@c.us"),
        ("1234567", "1234567@c.us"),
        ("123456789012345", "123456789012345@c.us"),
        ("491711234567@c.us", "491711234567@c.us"),
        ("491711234567@C.US", "491711234567@c.us"),
        ("491711234567@s.whatsapp.net", "491711234567@c.us"),
        ("120363041234567890@g.us", "120363041234567890@g.us"),
        ("491711234567-1400000000@g.us", "491711234567-1400000000@g.us"),
        ("98765432101234@lid", "98765432101234@lid"),
    ],
)
def test_accepts(text: str, jid: str) -> None:
    assert parse_recipient(text) == jid


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "+",
        "123456",
        "1234567890123456",
        "0171 1234567",
        "0049 171 1234567",
        "+0171 1234567",
        "+49 (0)171 1234567",
        "+49 ( 0171) 1234567",
        "++491711234567",
        "49+1711234567",
        "49171x1234567",
        "49171.1234567",
        "49171/1234567",
        "\u0661\u0662\u0663\u0664\u0665\u0666\u0667",
        "\u00b2345678901",
        "1\u0662\u0663\u0664\u0665\u0666\u0667\u0668",
        "1\u0662\u0663\u0664\u0665\u0666\u0667\u0668@lid",
        "491711234567\0",
        "@",
        "@c.us",
        "491711234567@",
        "491711234567@c.us@c.us",
        "491711234567@c.us.example.org",
        "491711234567@broadcast",
        "status@broadcast",
        "0@c.us",
        "+491711234567@c.us",
        "49171 1234567@c.us",
        "491711234567:12@s.whatsapp.net",
        "12036304@newsletter",
        "12-34@g.us",
        "491711234567-@g.us",
        "abcdef@lid",
        "491711234567@c.us\n@lid",
        "\ud800",
    ],
)
def test_refuses(text: str) -> None:
    with pytest.raises(RecipientInvalid):
        parse_recipient(text)


@given(
    digits=NUMBERS,
    plus=st.booleans(),
    noise=st.lists(st.tuples(st.integers(0, 15), PUNCTUATION), max_size=6),
)
def test_punctuation_never_changes_the_number(
    digits: str, plus: bool, noise: list[tuple[int, str]]
) -> None:
    text = digits
    for place, mark in noise:
        text = text[:place] + mark + text[place:]
    text = "+" + text if plus else text
    try:
        jid = parse_recipient(text)
    except RecipientInvalid:
        # The only reason left to refuse it: a bracket before a zero.
        assert "(" in text
        assert "0" in text
    else:
        assert jid == f"{digits}@c.us"


@given(st.text() | st.from_regex(r"[+0-9() -]{0,20}(@(c\.us|g\.us|lid))?", fullmatch=True))
@example("+49 (0)171 1234567")
def test_the_result_is_a_fixed_point_or_a_refusal_that_repeats_nothing(text: str) -> None:
    refusal = ""
    try:
        jid = parse_recipient(text)
    except RecipientInvalid as error:
        refusal = str(error)
    else:
        assert parse_recipient(jid) == jid
        assert jid.isascii()
        assert jid.rpartition("@")[2] in {"c.us", "g.us", "lid"}
    assert re.search(r"\d{5}", refusal) is None


@given(NUMBERS)
def test_both_spellings_of_a_person_are_one_chat(digits: str) -> None:
    spellings = {digits, f"+{digits}", f"{digits}@c.us", f"{digits}@s.whatsapp.net"}
    assert {parse_recipient(s) for s in spellings} == {f"{digits}@c.us"}
