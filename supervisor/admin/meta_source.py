"""Read an export of a workspaces table, and find the Cloud API credentials in its metadata (pure).

The file is JSON (an array of rows, or an object with `workspaces`) or CSV with a header. Columns
that count: `name`, `id` or `uuid`, and `metadata` (a JSON object, or its text).
"""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from supervisor.admin.errors import ImportUnreadable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

PHONE_NUMBER_ID: Final = "whatsapp_phone_number_id"
BUSINESS_ID: Final = "whatsapp_business_id"
ACCESS_TOKEN: Final = "whatsapp_access_token"  # noqa: S105 - the name of a field
API_VERSION: Final = "whatsapp_api_version"
FIELDS: Final = (PHONE_NUMBER_ID, BUSINESS_ID, ACCESS_TOKEN, API_VERSION)
_NEEDED: Final = (PHONE_NUMBER_ID, ACCESS_TOKEN)
_IDS: Final = re.compile(r"[0-9]{3,32}", re.ASCII)
_VERSION: Final = re.compile(r"v?[0-9]{1,3}(\.[0-9]{1,3})?", re.ASCII)
_LONGEST_TOKEN: Final = 8_192
_LONGEST_NAME: Final = 64
_LONGEST_CELL: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """One workspace's Cloud API number; `token` is the secret."""

    phone_number_id: str
    token: str = field(repr=False)
    business_id: str | None
    api_version: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRow:
    """One row of the export: what to move, or why there is nothing that can be moved.

    `problem` is a stable code, `detail` a sentence; neither holds a value of the row. `others` is
    how many further members its metadata has; they are no credentials and stay in the file.
    """

    line: int
    source_id: str | None
    name: str
    credentials: Credentials | None = None
    problem: str | None = None
    detail: str = ""
    others: int = 0


def read_rows(raw: bytes) -> Sequence[SourceRow]:
    """Return the rows of an export, in its order. Raises ImportUnreadable."""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ImportUnreadable("The file is not UTF-8; export it again as UTF-8.") from None
    records = _json_rows(text) if text.lstrip()[:1] in {"[", "{"} else _csv_rows(text)
    rows = [_source_row(line, record) for line, record in records]
    names = [row.name for row in rows if row.credentials is not None]
    # Two tenants of one name must never become one: neither is moved.
    return [
        _refused(row, "name_twice", "Several rows with credentials have this name; rename them.")
        if row.credentials is not None and names.count(row.name) > 1
        else row
        for row in rows
    ]


def _refused(row: SourceRow, problem: str, detail: str) -> SourceRow:
    return replace(row, credentials=None, problem=problem, detail=detail)


def _json_rows(text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise ImportUnreadable("The file is not whole JSON; export it again.") from None
    if isinstance(found, dict):
        found = found.get("workspaces")
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise ImportUnreadable(
            "The file is JSON, but no array of rows; export the workspaces table as an array of "
            "objects."
        )
    yield from enumerate(found, start=1)


def _csv_rows(text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    limit = csv.field_size_limit(_LONGEST_CELL)
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        missing = {"name", "metadata"} - set(reader.fieldnames or ())
        if missing:
            raise ImportUnreadable(
                f"The file's first line names no column {' and no column '.join(sorted(missing))}; "
                "export the workspaces table with a header, as CSV or JSON."
            )
        rows = list(enumerate(reader, start=1))
    except csv.Error:
        raise ImportUnreadable("The file is not whole CSV; export it again.") from None
    finally:
        csv.field_size_limit(limit)
    yield from rows


def _source_row(line: int, record: Mapping[str, Any]) -> SourceRow:
    source = record.get("uuid") or record.get("id")
    name = record.get("name")
    row = SourceRow(
        line=line,
        source_id=str(source)[:_LONGEST_NAME] if isinstance(source, str | int) else None,
        name=name.strip() if isinstance(name, str) else "",
    )
    metadata = _metadata(record.get("metadata"))
    if metadata is None:
        return _refused(row, "metadata_unreadable", "Its metadata is no JSON object.")
    row = replace(row, others=len(metadata.keys() - set(FIELDS)))
    given = {name: metadata[name] for name in FIELDS if metadata.get(name) not in (None, "")}
    if not given:
        return _refused(row, "nothing_to_move", "It has no credentials.")
    missing = [name for name in _NEEDED if name not in given]
    if missing:
        return _refused(row, "incomplete", f"It lacks {' and '.join(missing)}.")
    texts = {name: _text(name, value) for name, value in given.items()}
    wrong = [name for name, text in texts.items() if text is None]
    if wrong:
        return _refused(row, "value_invalid", f"Not usable: {' and '.join(wrong)}.")
    if not row.name or not row.name.isprintable() or len(row.name) > _LONGEST_NAME:
        detail = f"A workspace's name is one line of 1 to {_LONGEST_NAME} characters."
        return _refused(row, "name_invalid", detail)
    return replace(
        row,
        credentials=Credentials(
            phone_number_id=texts[PHONE_NUMBER_ID] or "",
            token=texts[ACCESS_TOKEN] or "",
            business_id=texts.get(BUSINESS_ID),
            api_version=texts.get(API_VERSION),
        ),
    )


def _metadata(value: object) -> Mapping[str, Any] | None:
    if value is None or value == "":
        return {}
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
        if value is None:
            return {}
    return value if isinstance(value, dict) else None


def _text(name: str, value: object) -> str | None:
    """Return a value as text, None if it can't be what its name says."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    text = str(value).strip()
    if name in {PHONE_NUMBER_ID, BUSINESS_ID}:
        return text if _IDS.fullmatch(text) else None
    if name == API_VERSION:
        return text if _VERSION.fullmatch(text) else None
    usable = text.isascii() and text.isprintable() and " " not in text
    return text if usable and 0 < len(text) <= _LONGEST_TOKEN else None
