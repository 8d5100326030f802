"""QR references and linking codes: what counts, and until when."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.errors import ConflictError, GoneError, InvalidRequestError, NotFoundError
from simulator.pairing import IssuedCodes, QrText, WindowPlan, normalise_code, parse_qr

pytestmark = pytest.mark.unit


def codes(what: str = "qr") -> IssuedCodes:
    counter = itertools.count(1)
    return IssuedCodes(what, lambda: f"2@{next(counter)}")


@pytest.mark.parametrize("text", ["2@r,n,i,a", "2@r,n,i,a,1", " 2@r,n,i,a\n"])
def test_reads_a_code(text: str) -> None:
    assert parse_qr(text) == QrText("2@r", ("n", "i", "a"))


@pytest.mark.parametrize(
    "text", ["", "2@r", "2@r,n,i", "1@r,n,i,a", "2@r,,i,a", "2@r,n,i,a,1,2", "https://x"]
)
def test_refuses_what_is_not_a_code(text: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_qr(text)
    assert caught.value.code == "qr_malformed"


@pytest.mark.parametrize(
    ("nth", "ttl"), [(0, 60_000), (1, 20_000), (5, 20_000), (6, None), (7, None)]
)
def test_a_window_has_a_long_first_code_and_an_end(nth: int, ttl: int | None) -> None:
    assert WindowPlan(60_000, 20_000, 6).ttl_of(nth) == ttl


def test_a_code_counts_once() -> None:
    issued = codes()
    one = issued.issue(7, now_ms=0, ttl_ms=100)
    assert issued.claim(one.text, 99, "n").connection == 7
    with pytest.raises(ConflictError) as caught:
        issued.claim(one.text, 99, "n")
    assert caught.value.code == "qr_used"


def test_a_code_expires_on_time_and_when_replaced() -> None:
    issued = codes()
    first = issued.issue(7, now_ms=0, ttl_ms=100)
    with pytest.raises(GoneError):
        issued.claim(first.text, 100, "n")
    second = issued.issue(7, now_ms=50, ttl_ms=100)
    issued.issue(7, now_ms=60, ttl_ms=100)
    with pytest.raises(GoneError) as caught:
        issued.claim(second.text, 61, "n")
    assert caught.value.code == "qr_expired"


def test_a_withdrawn_code_is_expired_and_an_unknown_one_unknown() -> None:
    issued = codes("link_code")
    one = issued.issue(1, now_ms=0, ttl_ms=100)
    issued.withdraw(1, now_ms=5)
    issued.withdraw(1, now_ms=5)
    with pytest.raises(GoneError):
        issued.claim(one.text, 6, "n")
    with pytest.raises(NotFoundError) as caught:
        issued.claim("2@other", 0, "n")
    assert caught.value.code == "link_code_unknown"


def test_a_code_for_a_number_works_on_that_phone_only() -> None:
    issued = codes("link_code")
    one = issued.issue(1, now_ms=0, ttl_ms=100, number="15550100001")
    with pytest.raises(ConflictError) as caught:
        issued.claim(one.text, 1, "15550100002")
    assert caught.value.code == "link_code_other_number"
    assert issued.claim(one.text, 1, "15550100001").used


@given(
    st.lists(
        st.tuples(st.integers(1, 3), st.integers(0, 40), st.booleans()), min_size=1, max_size=30
    )
)
def test_never_more_than_one_code_of_a_page_counts(steps: list[tuple[int, int, bool]]) -> None:
    issued, now = codes(), 0
    for connection, pause, claim in steps:
        now += pause
        one = issued.issue(connection, now, ttl_ms=50)
        valid = [
            c
            for c in issued.issued.values()
            if c.connection == connection and not c.used and now < c.expires_at_ms
        ]
        assert valid == [one]
        if claim:
            issued.claim(one.text, now, "n")
            assert connection not in issued.current


@pytest.mark.parametrize("typed", ["ABCD1234", "abcd-1234", " ab cd 12-34 "])
def test_typing_is_forgiving(typed: str) -> None:
    assert normalise_code(typed) == "ABCD1234"


@pytest.mark.parametrize("typed", ["", "ABCD123", "ABCD12345", "ABCD123O", "ABCD123!"])
def test_but_a_code_has_eight_of_its_own_letters(typed: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        normalise_code(typed)
    assert caught.value.code == "link_code_malformed"
