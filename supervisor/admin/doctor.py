"""`wafleet doctor`: whether the node's surroundings and its data are as they should be.

At any time, also beside a running node; reads only. A check is a function that gives findings; one
that fails is a finding itself, and the others still run.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog

from actors.browser.driver import DriverError
from storage.sqlite import migrations
from storage.sqlite.inspection import inspecting
from storage.store import StoreError
from storage.vault.errors import VaultError
from supervisor.admin import doctor_data, doctor_database, doctor_files, doctor_host
from supervisor.admin.doctor_files import FileCheck
from supervisor.admin.doctor_judge import Finding, Verdict
from supervisor.admin.errors import AdminError
from supervisor.admin.place import Place, no_tick
from supervisor.errors import StartError
from supervisor.keyring import read_keyring

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from config.errors import SettingsError
    from config.settings import Settings
    from storage.sqlite.inspection import Inspection
    from storage.vault import Keyring
    from supervisor.admin.place import Tick
    from supervisor.datadir import DataDir

    Check = tuple[str, Callable[[], Iterable[Finding]]]
    """A stable name, and what looks."""

log = structlog.get_logger(__name__)

_TOLD: Final = (AdminError, DriverError, StartError, StoreError, VaultError)
"""Errors whose text says what to do."""
_OF_ROWS: Final = ("audit", "access_tokens", "webhook_secrets", "archives", "media")


def examine(settings: Settings, *, deep: bool, tick: Tick = no_tick) -> Sequence[Finding]:
    """Look at everything; `deep` also reads and opens every sealed file. Blocks, for long if deep.

    Never raises: what goes wrong is a finding.
    """
    with ExitStack() as stack:
        place = Place.of(settings)
        look, database = _database(place, stack)
        rows = None if look is None or _other_schema(place) else look
        checks: list[Check] = [
            ("settings", lambda: [Finding("settings", Verdict.OK, "They are valid.")]),
            ("data_directory", partial(doctor_data.directory, place.data)),
            ("node", partial(doctor_data.node, place.data)),
            ("free_space", partial(doctor_data.space, place.data)),
            *database,
            *(_of_rows(settings, place, rows, deep=deep) if rows else map(_skipped, _OF_ROWS)),
            ("keys", partial(doctor_data.keys, settings, place.data)),
            ("descriptors", lambda: doctor_host.descriptors(place.data.holder())),
            ("memory", doctor_host.memory),
            ("chromium", partial(doctor_host.chromium, settings)),
            ("sandbox", partial(doctor_host.sandbox, settings)),
            ("wa_js", partial(doctor_host.page_script, settings)),
            ("clock_sync", doctor_host.clock_sync),
            ("clock_time", partial(doctor_database.clock_time, rows)),
        ]
        return _run(checks, tick)


def examine_without(error: SettingsError) -> Sequence[Finding]:
    """Look at what needs no settings, which are wrong."""
    problems = "; ".join(f"{problem.key} {problem.text}" for problem in error.problems)
    text = f"They are not valid, so that the data were not looked at: {problems}."
    checks: list[Check] = [
        ("settings", lambda: [Finding("settings", Verdict.BAD, text)]),
        ("descriptors", partial(doctor_host.descriptors, None)),
        ("memory", doctor_host.memory),
        ("clock_sync", doctor_host.clock_sync),
        ("clock_time", partial(doctor_database.clock_time, None)),
    ]
    return _run(checks, no_tick)


def _run(checks: Sequence[Check], tick: Tick) -> Sequence[Finding]:
    findings: list[Finding] = []
    for number, (name, look) in enumerate(checks):
        tick(number, len(checks))
        findings += _guarded(name, look)
    return findings


def _guarded(name: str, look: Callable[[], Iterable[Finding]]) -> Sequence[Finding]:
    try:
        return list(look())
    except _TOLD as error:
        return [Finding(name, Verdict.BAD, f"{error} [{error.code}]")]
    except Exception as error:
        log.exception("doctor_check_failed", what=name)
        text = f"The check itself failed ({type(error).__name__}): see the log, and report it."
        return [Finding(name, Verdict.BAD, text)]


def _database(place: Place, stack: ExitStack) -> tuple[Inspection | None, Sequence[Check]]:
    """Open the database for as long as the stack lasts, and return the checks of it as a whole."""
    database = place.data.database
    try:
        database.stat()
        look = stack.enter_context(inspecting(database, place.busy_timeout_ms))
    except FileNotFoundError:
        return None, [("database", partial(doctor_database.absent, place))]
    except (OSError, StoreError) as error:
        finding = Finding("database", Verdict.BAD, _unreadable(database, error))
        return None, [("database", lambda: [finding])]
    return look, [
        ("database", partial(doctor_database.integrity, look)),
        ("schema", partial(doctor_database.schema, place)),
    ]


def _unreadable(database: Path, error: OSError | StoreError) -> str:
    if isinstance(error, StoreError):
        return f"{error} [{error.code}]"
    return f"{database} can't be looked at ({error.strerror}): correct the rights of its directory."


def _other_schema(place: Place) -> bool:
    """Tell whether the schema is not the one whose rows this program can read."""
    try:
        states = migrations.status(place.data.database, busy_timeout_ms=place.busy_timeout_ms)
    except StoreError:
        return True  # told by the check of the schema
    return not all(state.applied and state.known for state in states)


def _of_rows(settings: Settings, place: Place, look: Inspection, *, deep: bool) -> Sequence[Check]:
    def check() -> FileCheck:
        return FileCheck(place.data.root, _keyring(settings, place.data) if deep else None, deep)

    return [
        ("audit", partial(doctor_database.audit, place)),
        ("access_tokens", partial(doctor_data.tokens, settings, place)),
        ("webhook_secrets", partial(doctor_data.webhook_secrets, settings, place)),
        ("archives", lambda: doctor_files.archives(look, check())),
        ("media", lambda: doctor_files.media(look, check())),
    ]


def _skipped(name: str) -> Check:
    text = "Not looked at: there is no database of this version to read, see there."
    return name, lambda: [Finding(name, Verdict.WARNING, text)]


def _keyring(settings: Settings, data: DataDir) -> Keyring | None:
    try:
        return read_keyring(settings, data)
    except VaultError:
        return None  # told by the check of the keys
