"""Keys as text, what a key allows, and the rules of routes: pure."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.keys import (
    EVERY_SCOPE,
    Caller,
    Scope,
    caller_of,
    digest,
    make_key,
    parse_key,
    stored_scopes,
)
from api.recorder import MOST_REFUSALS, RefusalLimit
from api.rules import RULES, rule_of, without_rule
from storage.keys import ApiKeyRecord

pytestmark = pytest.mark.unit

ONE: Final = "01J9ZS8XQ2N4B6D8F0H2K4M6P8"
TWO: Final = "01J9ZS8XQ2N4B6D8F0H2K4M6P9"
RECORD: Final = ApiKeyRecord(
    id=ONE,
    workspace_id=TWO,
    key_id="abcdEFGH",
    name="a",
    hash="0" * 64,
    scopes=frozenset(),
    expires_ms=None,
    last_used_ms=None,
    revoked_ms=None,
    created_ms=0,
)


def test_a_key_looks_as_documented_and_is_taken_apart_again() -> None:
    seen = set()
    for env in ("live", "test", "a", "0123456789abcdef"):
        made = make_key(env)
        assert re.fullmatch(rf"wsk_{env}_[0-9A-Za-z]{{8}}_[0-9A-Za-z]{{49}}", made.text)
        assert parse_key(made.text) == made.parts
        secret = made.text.split("_")[3][:43]
        assert made.parts.hash == digest(secret)
        assert secret not in repr(made)
        assert made.parts.hash not in repr(made)
        seen.add(made.parts.key_id)
    assert len(seen) == 4


@pytest.mark.parametrize("env", ["", "Live", "a_b", "a" * 17, "é", "live\n"])
def test_an_environment_is_a_short_word(env: str) -> None:
    with pytest.raises(ValueError, match="1 to 16"):
        make_key(env)


MADE: Final = make_key().text


@given(st.integers(0, len(MADE) - 1), st.characters())
def test_no_changed_character_passes(at: int, other: str) -> None:
    changed = MADE[:at] + other + MADE[at + 1 :]
    assert (parse_key(changed) is None) is (changed != MADE)


@given(st.integers(0, len(MADE) - 2))
def test_no_two_neighbours_changed_about_pass(at: int) -> None:
    changed = MADE[:at] + MADE[at + 1] + MADE[at] + MADE[at + 2 :]
    assert (parse_key(changed) is None) is (changed != MADE)


@given(st.integers(0, len(MADE) - 1))
def test_no_cut_key_passes(length: int) -> None:
    assert parse_key(MADE[:length]) is None
    assert parse_key(MADE[length:]) is None or length == 0


@given(st.text())
def test_no_other_text_is_a_key(text: str) -> None:
    assert parse_key(text) is None
    assert parse_key(MADE + text) is None or not text


@pytest.mark.parametrize(
    ("stored", "scopes", "sessions"),
    [
        ((), set(), None),
        (("session:read",), {Scope.SESSION_READ}, None),
        (("session:read", "from:the:future"), {Scope.SESSION_READ}, None),
        (("SESSION:READ",), set(), None),
        (("session:read", f"only:{ONE}"), {Scope.SESSION_READ}, {ONE}),
        (("session:read", f"only:{ONE}", f"only:{TWO}"), {Scope.SESSION_READ}, {ONE, TWO}),
        (("session:read", "only:"), {Scope.SESSION_READ}, {""}),
    ],
)
def test_what_is_stored_is_what_is_allowed(
    stored: tuple[str, ...], scopes: set[Scope], sessions: set[str] | None
) -> None:
    caller = caller_of(replace(RECORD, scopes=frozenset(stored)))
    assert caller.scopes == scopes
    assert caller.sessions == sessions
    assert (caller.key, caller.workspace_id) == (ONE, TWO)


@given(
    st.sets(st.sampled_from(Scope)), st.none() | st.sets(st.sampled_from([ONE, TWO]), min_size=1)
)
def test_scopes_and_sessions_survive_the_store(
    scopes: set[Scope], sessions: set[str] | None
) -> None:
    caller = caller_of(replace(RECORD, scopes=stored_scopes(scopes, sessions)))
    assert set(caller.scopes) == scopes
    assert caller.sessions == sessions


def test_a_key_for_certain_sessions_sees_only_those() -> None:
    all_of_them = Caller(key=ONE, workspace_id=TWO, scopes=EVERY_SCOPE)
    one_of_them = replace(all_of_them, sessions=frozenset({ONE}))
    assert [all_of_them.may_see(s) for s in (ONE, TWO, None)] == [True, True, True]
    assert [one_of_them.may_see(s) for s in (ONE, TWO, None)] == [True, False, False]


def test_whatever_changes_something_is_noted_and_needs_a_scope() -> None:
    for (method, path), rule in RULES.items():
        if method != "GET":
            assert rule.action is not None, path
            assert rule.scope is not None, path
        if "/qr" in path:
            assert rule.action == ("qr.view" if method == "GET" else "session.qr")
        assert not (rule.open and rule.scope)
    assert {path for (_, path), rule in RULES.items() if rule.open} == {"/healthz", "/readyz"}


def test_a_route_without_a_rule_is_named() -> None:
    assert without_rule(RULES) == []
    assert without_rule([("HEAD", "/v1/sessions"), ("GET", "/new"), ("PUT", "/v1/sessions")]) == [
        "GET /new",
        "PUT /v1/sessions",
    ]
    assert rule_of("HEAD", "/v1/sessions") == rule_of("GET", "/v1/sessions")


def test_refusals_are_noted_up_to_a_limit_and_then_counted() -> None:
    limit = RefusalLimit()
    noted = [limit.admit(1_000_000 + n) for n in range(MOST_REFUSALS + 7)]
    assert noted == [0] * MOST_REFUSALS + [None] * 7
    assert limit.admit(1_000_000 + 59_999) is None
    assert limit.admit(1_000_000 + 60_000) == 8
    assert limit.admit(1_000_000 + 60_001) == 0
    assert limit.admit(5) == 0  # the clock went back: a new window, not a closed door
