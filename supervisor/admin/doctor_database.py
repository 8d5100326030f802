"""What the doctor finds in the database: damage, versions, the access log, times."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from storage.sqlite import SqliteStore, migrations
from storage.sqlite.connection import open_connections
from storage.sqlite.ids import MonotonicIds
from supervisor.admin.chains import verify_chains
from supervisor.admin.doctor_judge import Finding, Verdict, judge_time
from supervisor.admin.place import now_ms

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from storage.sqlite.inspection import Inspection
    from supervisor.admin.chains import ChainReport
    from supervisor.admin.place import Place

_RESTORE = "stop wafleet, keep a copy of the file, and put the last backup in its place"


def absent(place: Place) -> Iterator[Finding]:
    """Tell that there is no database: fine before the first start, and at no other time."""
    data = place.data
    rest = [
        path.name
        for path in (data.sessions, data.archives, data.media)
        if path.is_dir() and next(path.iterdir(), None) is not None
    ]
    if rest:
        text = f"{data.database} is missing, but {' and '.join(rest)} hold data: {_RESTORE}."
        yield Finding("database", Verdict.BAD, text)
        return
    text = "There is no database yet: the first start, or wafleet migrate up, makes it."
    yield Finding("database", Verdict.WARNING, text)


def integrity(look: Inspection) -> Iterator[Finding]:
    """Read all of the database."""
    damage = look.damage()
    for line in damage:
        yield Finding("database", Verdict.BAD, f"It is damaged ({line}): {_RESTORE}.")
    if damage:
        return
    dangling = look.dangling()
    for table, parent, count in dangling:
        text = f"{count} row(s) of {table} point to rows of {parent} that are gone: {_RESTORE}."
        yield Finding("database", Verdict.BAD, text)
    if not dangling:
        yield Finding("database", Verdict.OK, "It is whole, and every row points to one there is.")


def schema(place: Place) -> Iterator[Finding]:
    """Compare the schema with what the program's versions make."""
    findings = migrations.verify(place.data.database, busy_timeout_ms=place.busy_timeout_ms)
    pending = [finding.what for finding in findings if finding.code == "pending_version"]
    if pending:
        # What the pending versions would make is missing, of course: not told one by one.
        text = (
            f"It lacks {', '.join(pending)}: the next start of wafleet applies that, or, with "
            "wafleet stopped, wafleet migrate up; have a backup."
        )
        yield Finding("schema", Verdict.WARNING, text)
        return
    for finding in findings:
        if finding.code == "unknown_version":
            text = f"It was made by a newer wafleet (it has {finding.what}): update wafleet."
            yield Finding("schema", Verdict.BAD, text)
        elif finding.code.startswith("extra_"):
            text = f"{finding}: somebody added it; wafleet leaves it alone."
            yield Finding("schema", Verdict.WARNING, text)
        else:
            text = f"{finding}: wafleet does not start on it; repair it, or put a backup back."
            yield Finding("schema", Verdict.BAD, text)
    if not findings:
        yield Finding("schema", Verdict.OK, "It is as the versions of this wafleet make it.")


def audit(place: Place) -> Iterator[Finding]:
    """Check the access log's chain of every workspace."""
    reports = asyncio.run(_chains(place))
    bad = [report for report in reports if report.bad is not None]
    for report in bad:
        text = (
            f"The access log of the workspace {report.name} was changed at {report.bad}: find out "
            "who could write the database; wafleet audit verify tells more."
        )
        yield Finding("audit", Verdict.BAD, text)
    if not bad:
        entries = sum(report.head.number for report in reports)
        text = f"{len(reports)} chains with {entries} entries are whole."
        yield Finding("audit", Verdict.OK, text)


async def _chains(place: Place) -> Sequence[ChainReport]:
    # Not open_store: that one would make the file private and migrate it by the way.
    async with open_connections(place.data.database, place.busy_timeout_ms) as connections:
        return await verify_chains(SqliteStore(connections, MonotonicIds()), {})


def clock_time(look: Inspection | None) -> Iterator[Finding]:
    """Look at the wall clock, after the newest time was read: a running node goes on writing."""
    newest = None if look is None else look.newest_ms()
    yield judge_time(now_ms(), newest)
