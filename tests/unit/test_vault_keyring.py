"""Which key seals, which keys open, and what a wrong one says."""

from __future__ import annotations

import base64
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.vault import Keyring
from storage.vault.errors import (
    KeyMissing,
    KeyringUnusable,
    KeyWrong,
    SecretDamaged,
    VaultError,
)
from storage.vault.keyring import new_entry
from storage.vault.sealed import Sealed

pytestmark = pytest.mark.unit

OLD, NEW, OTHER = (bytes([n]) * 32 for n in (1, 2, 3))
B64_OLD, B64_NEW = (base64.b64encode(key).decode() for key in (OLD, NEW))
CONTEXT = {"workspace": "w1", "session": "s1"}


@pytest.mark.parametrize(
    "text",
    [
        f"k1:{B64_OLD}\nk2:{B64_NEW}\n",
        f"k1:{B64_OLD}\r\nk2:{B64_NEW}",
        f"k1:{B64_OLD},k2:{B64_NEW}",
        f"# mine, since 2026: keep\n\n  k1 :{B64_OLD}\n\tk2: {B64_NEW} \n".replace("k1 ", "k1"),
    ],
)
def test_a_keyring_is_read_and_its_last_key_is_current(text: str) -> None:
    ring = Keyring.parse(text)
    assert ring.kids == ("k1", "k2")
    assert ring.current == "k2"
    assert ring.wrap(b"x" * 32, CONTEXT).kid == "k2"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n# only a remark\n",
        "k1",
        "k1:",
        f":{B64_OLD}",
        f"K1:{B64_OLD}",
        f"k.1:{B64_OLD}",
        f"{'k' * 33}:{B64_OLD}",
        f"k1:{B64_OLD[:-4]}",
        f"k1:{B64_OLD}AAAA",
        f"k1:{B64_OLD[:-1]}",
        f"k1:*{B64_OLD}",
        f"k1:{'ä' * 44}",
        f"k1:{B64_OLD}\nk1:{B64_NEW}",
        f"k1:{B64_OLD}\nk2:{B64_OLD}",
    ],
)
def test_a_malformed_keyring_is_refused_without_showing_a_key(text: str) -> None:
    with pytest.raises(KeyringUnusable) as caught:
        Keyring.parse(text)
    assert B64_OLD[:8] not in str(caught.value)
    assert str(caught.value).endswith(".")


@given(st.text() | st.text(alphabet="k1:AQ=,\n# ", max_size=120))
def test_no_text_raises_anything_else(text: str) -> None:
    with suppress(KeyringUnusable):
        Keyring.parse(text)


def test_a_new_entry_is_a_keyring_and_never_the_same() -> None:
    entries = {new_entry() for _ in range(100)}
    assert len(Keyring.parse("\n".join(entries)).kids) == 100


def test_a_keyring_never_shows_its_keys() -> None:
    ring = Keyring({"k1": OLD})
    assert repr(ring) == "<Keyring k1>"
    assert str(OLD) not in str(vars(ring))


@given(st.binary(min_size=32, max_size=32), st.dictionaries(st.text(), st.text(), max_size=4))
def test_what_is_wrapped_can_be_unwrapped_in_the_same_context_only(
    data_key: bytes, context: dict[str, str]
) -> None:
    ring = Keyring({"k1": OLD})
    wrapped = ring.wrap(data_key, context)
    assert ring.unwrap(wrapped, context) == data_key
    with pytest.raises(SecretDamaged):
        ring.unwrap(wrapped, {**context, "one": "more"})
    with pytest.raises(SecretDamaged):
        ring.open(wrapped, "another purpose", context)


def test_an_old_key_opens_until_it_is_removed() -> None:
    wrapped = Keyring({"k1": OLD}).wrap(b"d" * 32, CONTEXT)
    assert Keyring({"k1": OLD, "k2": NEW}).unwrap(wrapped, CONTEXT) == b"d" * 32
    with pytest.raises(KeyMissing, match="k1"):
        Keyring({"k2": NEW}).unwrap(wrapped, CONTEXT)


def test_another_key_under_the_same_id_is_named_as_the_cause() -> None:
    wrapped = Keyring({"k1": OLD}).wrap(b"d" * 32, CONTEXT)
    with pytest.raises(KeyWrong, match="k1"):
        Keyring({"k1": OTHER}).unwrap(wrapped, CONTEXT)


def test_a_renamed_key_is_missing_not_tried() -> None:
    wrapped = Keyring({"k1": OLD}).wrap(b"d" * 32, CONTEXT)
    with pytest.raises(KeyMissing):
        Keyring({"k9": OLD}).unwrap(wrapped, CONTEXT)
    moved = Sealed("k9", wrapped.fingerprint, wrapped.nonce, wrapped.ciphertext)
    with pytest.raises(SecretDamaged):
        Keyring({"k9": OLD}).unwrap(moved, CONTEXT)


@pytest.mark.parametrize(
    ("ring", "error"),
    [
        (Keyring({"k1": OLD}), None),
        (Keyring({"k1": OLD, "k2": NEW}), None),
        (Keyring({"k1": OTHER}), KeyWrong),
        (Keyring({"k2": NEW}), KeyMissing),
        (Keyring({"k2": OLD}), KeyMissing),
    ],
)
def test_a_check_in_the_database_tells_a_wrong_keyring(
    ring: Keyring, error: type[VaultError] | None
) -> None:
    check = Keyring({"k1": OLD}).seal_check()
    if error is None:
        ring.verify(check)
    else:
        with pytest.raises(error):
            ring.verify(check)


def test_a_changed_check_is_refused() -> None:
    ring = Keyring({"k1": OLD})
    check = ring.seal_check()
    for position in range(len(check)):
        changed = "A" if check[position] != "A" else "B"
        with pytest.raises(VaultError):
            ring.verify(check[:position] + changed + check[position + 1 :])


def test_a_secret_is_no_check() -> None:
    ring = Keyring({"k1": OLD})
    with pytest.raises(SecretDamaged):
        ring.verify(ring.seal(b"wafleet key check", "secret", {}).to_text())


def test_every_error_has_a_code_of_its_own() -> None:
    classes = VaultError.__subclasses__()
    codes = [error.code for error in classes]
    assert len(set(codes)) == len(classes)
    assert VaultError.code not in codes
