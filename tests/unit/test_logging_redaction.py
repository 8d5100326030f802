"""The scrubber and the allow-list, as tables and properties."""

from __future__ import annotations

import base64
import time

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from config.redaction import REDACTED, redact, scrub, scrub_foreign
from config.tracebacks import render

pytestmark = pytest.mark.unit

ULID = "01HF7YAT00FXFVR0JEBYVRG0YZ"
PRINTABLE = st.characters(exclude_categories=("C", "Zl", "Zp", "Zs"), include_characters=" ")
WORDS = st.text(alphabet="abcdefghij ", max_size=20)


@pytest.mark.parametrize(
    "secret",
    [
        "4915112345678",
        "+49 151 1234-5678",
        "+1 (555) 123-4567",
        "555.123.4567",
        "0151/1234567",
        "+49\u00a0151\u20111234567",
        "٠١٢٣٤٥٦٧٨٩",
        "15551234567@c.us",
        "15551234567:12@s.whatsapp.net",
        "120363025246125486@g.us",
        "someone@lid",
        "15551230001-1612345678@g.us",
        "2@AbC/d+e=,fGh==,IjK,1",
        "1@x",
        "wsk_live_ab",
        "whsec_abc",
        "Bearer abc",
        "c2VjcmV0IHNlY3JldCBzZWNyZXQx",
        "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAMCAgICAgMCAgIDAwMDBAYEBAQEBAgGBgUG",
        "5f4dcc3b5aa765d61d8327deb882cf99",
        "AAAAAAAAAAAAAAAAAAAAAAAA",
    ],
)
def test_secrets_do_not_survive(secret: str) -> None:
    for text in (secret, f"before {secret} after", f"({secret})", f"key={secret}"):
        shown = scrub(text)
        assert secret not in shown
        for piece in secret.replace("/", " ").split():
            assert len(piece) < 8 or piece not in shown, shown


@pytest.mark.parametrize(
    "text",
    [
        "Its browser ended by itself.",
        "ConnectionRefusedError: [Errno 111] Connection refused",
        f"session {ULID} started",
        f"/var/lib/wafleet/sessions/{ULID}/profile/Default/IndexedDB",
        "/usr/lib/chromium-headless-shell/chromium-headless-shell",
        "exit code 21 after 12.5 s, pid 123456",
        "remote-debugging-pipe",
        "session_restart_planned_after_a_long_quarantine_of_it",
        "python 3.11.7 on port 8480",
        "[redacted] [number] [jid]",
    ],
)
def test_plain_words_stay_readable(text: str) -> None:
    assert scrub(text) == text
    assert scrub_foreign(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("body='Hello there' ok", "body='…' ok"),
        ('{"body": "Hello \\" there"}', '{"…": "…"}'),
        ("It's body='Hello' that's it", "It's body='…' that's it"),
        ("b'Hello' ok", "b'…' ok"),
        ("cut off: 'Hello the", "cut off: '…'"),
        ("cut off: 'Hello\\", "cut off: '…'"),
        ("'don't say' ok", "'…' ok"),
        ("`Hello` ok", "`…` ok"),
    ],
)
def test_what_others_quote_is_data(text: str, shown: str) -> None:
    assert scrub_foreign(text) == shown


@given(st.text(alphabet=PRINTABLE, min_size=3, max_size=60), WORDS, WORDS)
def test_no_quoted_text_survives(body: str, before: str, after: str) -> None:
    assume(not any(body in kept for kept in (before, after, f"{before} b'…' {after}")))
    for literal in (repr(body), repr(body.encode())):
        assert body not in scrub_foreign(f"{before} {literal} {after}")


@given(
    st.lists(st.sampled_from("0123456789"), min_size=7, max_size=20),
    st.sampled_from(["", " ", "-", ".", "/", ") ", " ("]),
    st.integers(min_value=1, max_value=6),
    WORDS,
)
def test_no_number_survives(digits: list[str], separator: str, every: int, around: str) -> None:
    groups = ["".join(digits[at : at + every]) for at in range(0, len(digits), every)]
    shown = scrub(f"{around}{separator.join(groups)}{around}")
    assert not any(character.isdigit() for character in shown)


@given(st.binary(min_size=24, max_size=80), WORDS)
def test_no_random_token_survives(secret: bytes, around: str) -> None:
    for token in (
        base64.b64encode(secret).decode(),
        base64.urlsafe_b64encode(secret).decode(),
        secret.hex(),
    ):
        if token.startswith("/") or not any(character.isdigit() for character in token):
            continue  # it can't be told from a path, or from a long word
        shown = scrub(f"{around} {token} {around}")
        assert token not in shown
        kept = shown.replace(around, "")
        assert len(kept.strip()) <= len(token) // 2


@given(st.text(max_size=200))
def test_scrubbing_never_fails_and_is_stable(text: str) -> None:
    once = scrub_foreign(text)
    assert scrub_foreign(once) == once
    assert scrub(scrub(text)) == scrub(text)


@pytest.mark.parametrize("unit", ["a", "1", "'", "\\'", "a@", "1 ", "/", "A1/", "'a", '"\\', "2@"])
def test_hostile_text_takes_no_time(unit: str) -> None:
    begun = time.perf_counter()
    for clean in (scrub, scrub_foreign):
        assert len(clean(unit * 200_000)) < 10_000
    assert time.perf_counter() - begun < 2


def test_only_listed_fields_are_shown() -> None:
    fields = {
        "event": "browser_launched",
        "session_id": ULID,
        "request_id": "0f8fad5bd9cb469fa16570867728950e",
        "pid": 4242424242,
        "pids": (1, 2),
        "seconds": 1.5,
        "forced": False,
        "detail": None,
        "error": "call 4915112345678",
        "body": "Hello",
        "phone": 4915112345678,
        "qr": None,
        "status": {"body": "Hello"},
        "what": [{"body": "Hello"}, "ok"],
    }
    assert redact(dict(fields)) == {
        **fields,
        "pids": [1, 2],
        "error": "call [number]",
        "body": REDACTED,
        "phone": REDACTED,
        "qr": REDACTED,
        "status": REDACTED,
        "what": [REDACTED, "ok"],
    }


@pytest.mark.parametrize("forged", ["4915112345678", "15551234567@c.us", "4" * 26, "4" * 32])
def test_an_id_that_is_not_one_of_ours_is_scrubbed(forged: str) -> None:
    assert forged not in str(redact({"request_id": forged, "session_id": forged}))


def raised(error: Exception) -> Exception:
    with pytest.raises(type(error)) as caught:
        raise error
    return caught.value


def test_an_exception_keeps_its_place_and_loses_its_data() -> None:
    def fail() -> None:
        try:
            int("Hello there")
        except ValueError as error:
            raise RuntimeError("no answer from 15551234567@c.us") from error

    with pytest.raises(RuntimeError) as caught:
        fail()
    text = render(caught.value)
    assert "ValueError: invalid literal for int() with base 10: '…'\nthe cause of:\n" in text
    assert text.splitlines()[-1] == "RuntimeError: no answer from [jid]"
    assert f'File "{__file__}", line ' in text
    assert ", in fail" in text
    assert "Hello" not in text


def test_exceptions_of_the_interpreter_keep_their_names() -> None:
    assert render(raised(AttributeError("'int' object has no attribute 'x'"))).endswith(
        "AttributeError: 'int' object has no attribute 'x'"
    )
    missing = raised(FileNotFoundError(2, "No such file or directory", "/etc/wafleet.toml"))
    assert render(missing).endswith("No such file or directory: /etc/wafleet.toml")


def test_groups_contexts_and_broken_texts() -> None:
    class BrokenError(Exception):
        def __str__(self) -> str:
            raise KeyError("Hello there")

    group = ExceptionGroup("two 'Hello there'", [raised(BrokenError()), ValueError("a\nb")])
    text = render(group)
    assert "(its text failed with KeyError)" in text
    assert "ValueError: a b" in text, "a text can't pass for another line"
    assert "Hello" not in text


def test_endless_causes_end() -> None:
    error: BaseException = ValueError("0")
    for number in range(1000):
        outer = ValueError(str(number))
        outer.__cause__ = error
        error = outer
    assert len(render(error).splitlines()) < 40
