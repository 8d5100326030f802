"""Every event that a test comes by fits the schema that users are given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from api.event_schemas import payload_problems

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from storage.events import EventRow


def require_fit(kind: str, payload: Mapping[str, Any]) -> None:
    """Fail unless the payload fits version 1 of its type."""
    problem = payload_problems(kind, 1, payload)
    assert problem is None, f"{kind} {payload}: {problem}"


def fitting(rows: Sequence[EventRow]) -> Sequence[EventRow]:
    """Return events of a log, all of which fit."""
    for row in rows:
        require_fit(row.type, row.payload)
    return rows
