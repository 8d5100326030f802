"""Small secrets open with the right key, in the right place, unchanged; otherwise not at all."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.vault import Keyring, SecretBox
from storage.vault.errors import KeyMissing, KeyWrong, SecretDamaged, VaultError

pytestmark = pytest.mark.unit

OLD, NEW = (bytes([n]) * 32 for n in (1, 2))
PLACE = {"table": "webhooks", "column": "secret", "row": "7"}
BOX = SecretBox(Keyring({"k1": OLD}))
ROTATED = SecretBox(Keyring({"k1": OLD, "k2": NEW}))


@given(st.binary(max_size=500), st.dictionaries(st.text(), st.text(), max_size=4))
def test_round_trip(plaintext: bytes, context: dict[str, str]) -> None:
    text = BOX.seal(plaintext, context)
    assert BOX.open(text, context) == plaintext
    assert text.startswith("wv1.k1.")
    assert set(text) <= {*string.ascii_letters, *string.digits, *"-_."}


def test_the_same_secret_never_looks_the_same() -> None:
    assert len({BOX.seal(b"x", PLACE) for _ in range(100)}) == 100


@pytest.mark.parametrize(
    "place",
    [
        {},
        {**PLACE, "row": "8"},
        {**PLACE, "extra": ""},
        {"table": "webhooks", "column": "secret"},
        {"table": "webhookssecret", "column": "", "row": "7"},
    ],
)
def test_a_secret_does_not_open_in_another_place(place: dict[str, str]) -> None:
    with pytest.raises(SecretDamaged):
        BOX.open(BOX.seal(b"x", PLACE), place)


def test_the_order_of_a_context_does_not_matter() -> None:
    assert BOX.open(BOX.seal(b"x", PLACE), dict(reversed(PLACE.items()))) == b"x"


def test_every_change_of_one_character_is_noticed() -> None:
    text = BOX.seal(b"a secret", PLACE)
    for position, character in enumerate(text):
        for other in "A-.b =9":
            if other != character:
                with pytest.raises(VaultError):
                    BOX.open(text[:position] + other + text[position + 1 :], PLACE)


def test_every_cut_and_every_addition_is_noticed() -> None:
    text = BOX.seal(b"a secret", PLACE)
    for end in range(len(text)):
        with pytest.raises(VaultError):
            BOX.open(text[:end], PLACE)
    for more in ("A", "=", "==", "\n", " ", ".", "AAAA"):
        with pytest.raises(VaultError):
            BOX.open(text + more, PLACE)


@given(st.text() | st.text(alphabet="wv1.k-_=A\n", max_size=100).map("wv1.k1.".__add__))
def test_no_text_raises_anything_else(text: str) -> None:
    with pytest.raises(VaultError):
        BOX.open(text, PLACE)


def test_another_key_is_named_as_the_cause() -> None:
    with pytest.raises(KeyWrong):
        SecretBox(Keyring({"k1": NEW})).open(BOX.seal(b"x", PLACE), PLACE)
    with pytest.raises(KeyMissing):
        SecretBox(Keyring({"k2": NEW})).open(BOX.seal(b"x", PLACE), PLACE)


def test_after_rewrapping_the_old_key_can_go() -> None:
    old = BOX.seal(b"x", PLACE)
    assert ROTATED.open(old, PLACE) == b"x"
    assert not ROTATED.is_current(old)
    new = ROTATED.rewrap(old, PLACE)
    assert ROTATED.is_current(new)
    assert SecretBox(Keyring({"k2": NEW})).open(new, PLACE) == b"x"


def test_rewrapping_a_current_secret_changes_nothing() -> None:
    text = ROTATED.seal(b"x", PLACE)
    assert ROTATED.rewrap(text, PLACE) == text


def test_rewrapping_does_not_move_a_secret_to_another_place() -> None:
    with pytest.raises(SecretDamaged):
        ROTATED.rewrap(BOX.seal(b"x", PLACE), {})
