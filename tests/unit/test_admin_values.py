"""What the administration commands read: exports of a workspaces table, durations, scopes."""

from __future__ import annotations

import csv
import io
import json
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.keys import EVERY_SCOPE, Scope
from supervisor.admin.errors import ArgumentInvalid, ImportUnreadable
from supervisor.admin.meta_source import Credentials, SourceRow, read_rows
from supervisor.admin.tenancy import parse_duration, parse_scopes

pytestmark = pytest.mark.unit

META: Final = {
    "whatsapp_phone_number_id": "106540352242922",
    "whatsapp_business_id": "102290129340398",
    "whatsapp_access_token": "EAAG-canary-token",
    "whatsapp_api_version": "v19.0",
}
FULL: Final = Credentials(
    phone_number_id="106540352242922",
    token="EAAG-canary-token",
    business_id="102290129340398",
    api_version="v19.0",
)


def rows_of(*records: object) -> list[SourceRow]:
    return list(read_rows(json.dumps(records).encode()))


def test_an_export_as_json_in_its_forms() -> None:
    row = {"id": 7, "name": "acme", "metadata": {**META, "theme": "dark"}}
    for raw in (
        json.dumps([row]),
        json.dumps({"workspaces": [row]}),
        json.dumps([{**row, "metadata": json.dumps(row["metadata"])}]),
        "\ufeff" + json.dumps([row], indent=2),
    ):
        [found] = read_rows(raw.encode())
        assert (found.line, found.source_id, found.name) == (1, "7", "acme")
        assert found.credentials == FULL
        assert (found.problem, found.others) == (None, 1)
        assert "canary" not in repr(found)


def test_an_export_as_csv() -> None:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["id", "uuid", "name", "metadata", "created_at"])
    writer.writerow([1, "u-1", "Bäckerei, Süd", json.dumps(META), "2024-01-01"])
    writer.writerow([2, "", "empty", "", ""])
    writer.writerow([3, "", "big", json.dumps({**META, "x": "y" * 300_000}), ""])
    found = read_rows(out.getvalue().encode())
    assert [(r.line, r.source_id, r.name, r.problem, r.others) for r in found] == [
        (1, "u-1", "Bäckerei, Süd", None, 0),
        (2, "2", "empty", "nothing_to_move", 0),
        (3, "3", "big", None, 1),
    ]
    assert found[0].credentials == FULL


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[",
        b'{"rows": []}',
        b'["a"]',
        b"[" * 100_000,
        b"\xff\xfe",
        b"id;name;metadata\n1;a;{}",
        b"name\na\n",
        b'name,metadata\n"a,b\n',
    ],
)
def test_what_is_no_export_is_refused(raw: bytes) -> None:
    with pytest.raises(ImportUnreadable):
        read_rows(raw)


@pytest.mark.parametrize(
    ("changes", "problem", "words"),
    [
        ({"metadata": None}, "nothing_to_move", []),
        ({"metadata": {}}, "nothing_to_move", []),
        ({"metadata": "null"}, "nothing_to_move", []),
        ({"metadata": {"theme": "dark"}}, "nothing_to_move", []),
        ({"metadata": dict.fromkeys(META)}, "nothing_to_move", []),
        ({"metadata": dict.fromkeys(META, "")}, "nothing_to_move", []),
        ({"metadata": "{"}, "metadata_unreadable", []),
        ({"metadata": [1]}, "metadata_unreadable", []),
        ({"metadata": 5}, "metadata_unreadable", []),
        (
            {"metadata": {"whatsapp_api_version": "v19.0"}},
            "incomplete",
            ["whatsapp_phone_number_id", "whatsapp_access_token"],
        ),
        ({"metadata": {**META, "whatsapp_access_token": ""}}, "incomplete", ["access_token"]),
        (
            {"metadata": {**META, "whatsapp_phone_number_id": "abc"}},
            "value_invalid",
            ["whatsapp_phone_number_id"],
        ),
        ({"metadata": {**META, "whatsapp_business_id": True}}, "value_invalid", ["business_id"]),
        ({"metadata": {**META, "whatsapp_business_id": 1.5}}, "value_invalid", ["business_id"]),
        ({"metadata": {**META, "whatsapp_api_version": "v19/../"}}, "value_invalid", ["version"]),
        ({"metadata": {**META, "whatsapp_access_token": "a b"}}, "value_invalid", ["token"]),
        ({"metadata": {**META, "whatsapp_access_token": ["x"]}}, "value_invalid", ["token"]),
        ({"name": ""}, "name_invalid", []),
        ({"name": None}, "name_invalid", []),
        ({"name": "a\nb"}, "name_invalid", []),
        ({"name": "a" * 65}, "name_invalid", []),
    ],
)
def test_what_can_t_be_moved_says_why_and_shows_no_value(
    changes: dict[str, Any], problem: str, words: list[str]
) -> None:
    [row] = rows_of({"id": 1, "name": "acme", "metadata": META, **changes})
    assert (row.credentials, row.problem) == (None, problem)
    assert row.detail
    for word in words:
        assert word in row.detail
    for value in ("canary", "v19/", "abc"):
        assert value not in row.detail


def test_numbers_may_be_written_as_numbers_and_the_rest_be_missing() -> None:
    metadata = {"whatsapp_phone_number_id": 106540352242922, "whatsapp_access_token": " tok "}
    [row] = rows_of({"name": " acme ", "metadata": metadata})
    assert row.credentials == Credentials(
        phone_number_id="106540352242922", token="tok", business_id=None, api_version=None
    )
    assert (row.name, row.source_id) == ("acme", None)


def test_two_tenants_of_one_name_are_never_made_one() -> None:
    found = rows_of(
        {"id": 1, "name": "acme", "metadata": META},
        {"id": 2, "name": "acme", "metadata": META},
        {"id": 3, "name": "acme", "metadata": None},
        {"id": 4, "name": "beta", "metadata": META},
    )
    assert [row.problem for row in found] == ["name_twice", "name_twice", "nothing_to_move", None]


VALUES: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
RECORDS: Final = st.dictionaries(
    st.sampled_from(["id", "uuid", "name", "metadata"]),
    VALUES | st.dictionaries(st.sampled_from(list(META)), VALUES),
)


@given(st.lists(RECORDS, max_size=5))
def test_every_row_is_told_of_once(records: list[dict[str, Any]]) -> None:
    """Whatever is in a file, each row is moved or has a reason: none disappears."""
    found = read_rows(json.dumps(records).encode())
    assert [row.line for row in found] == list(range(1, len(records) + 1))
    for row in found:
        assert (row.credentials is None) is (row.problem is not None)


@pytest.mark.parametrize(
    ("text", "ms"),
    [("90d", 7_776_000_000), ("1m", 60_000), ("12h", 43_200_000), (" 2w ", 1_209_600_000)],
)
def test_durations(text: str, ms: int) -> None:
    assert parse_duration(text, name="--expires") == ms


@pytest.mark.parametrize(
    "text", ["", "0d", "-1d", "90", "d", "1.5d", "90D", "1y", "٣d", "9999999d"]
)
def test_wrong_durations(text: str) -> None:
    with pytest.raises(ArgumentInvalid, match="--expires"):
        parse_duration(text, name="--expires")


def test_scopes_as_written() -> None:
    assert parse_scopes("all") == EVERY_SCOPE
    assert parse_scopes("session:read, message:send,") == {
        Scope.SESSION_READ,
        Scope.MESSAGE_SEND,
    }
    for wrong in ("", ",", "session:red", "all,session:read", "SESSION:READ"):
        with pytest.raises(ArgumentInvalid, match="session:read"):
            parse_scopes(wrong)
