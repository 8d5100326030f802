"""What the doctor finds in the data directory: modes, space, keys and what they seal."""

from __future__ import annotations

import asyncio
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from storage.vault import SecretBox
from storage.vault.errors import VaultError
from storage.webhooks import secret_context
from supervisor.admin.doctor_files import Tally
from supervisor.admin.doctor_judge import (
    Finding,
    Verdict,
    judge_entry,
    judge_inodes,
    judge_space,
)
from supervisor.admin.meta_rows import open_meta_rows, token_context
from supervisor.admin.webhook_rows import open_webhook_rows
from supervisor.keyring import proven, read_keyring

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from config.settings import Settings
    from supervisor.admin.place import Place
    from supervisor.datadir import DataDir


# ---- the directory ----


def directory(data: DataDir) -> Iterator[Finding]:
    """Look at what is there, whose it is and who may read it."""
    root = data.root
    if not root.exists():
        text = (
            f"There is no {root} yet, which the first start makes; if there should be data, set "
            "WAFLEET_DATA_DIR to its directory."
        )
        yield Finding("data_directory", Verdict.WARNING, text)
        return
    if not root.is_dir() or not os.access(root, os.R_OK | os.W_OK | os.X_OK):
        text = f"{root} is no directory that this user may write: correct it, or set another one."
        yield Finding("data_directory", Verdict.BAD, text)
        return
    judged = [_judged(path, secret) for path, secret in _entries(data)]
    found = [finding for finding in judged if finding is not None]
    text = f"{root} is there, and only this user may use it."
    yield from found or [Finding("data_directory", Verdict.OK, text)]


def _entries(data: DataDir) -> Iterator[tuple[Path, bool]]:
    """Yield what is looked at, and whether others who can read it get a login or a key."""
    yield data.root, False
    yield from ((path, True) for path in (data.sessions, data.keys))
    yield from ((path, False) for path in (data.archives, data.media))
    yield from ((path, True) for path in (data.database, data.key_file))
    yield from ((path, True) for path in sorted(data.keys.glob("*")))


def _judged(path: Path, secret: bool) -> Finding | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None  # not made yet, or a log that was just folded in
    return judge_entry(
        str(path),
        mode=found.st_mode,
        owner=found.st_uid,
        me=os.geteuid(),
        secret=secret,
        is_directory=stat.S_ISDIR(found.st_mode),
    )


def node(data: DataDir) -> Iterator[Finding]:
    """Tell whether a wafleet runs on it."""
    pid = data.holder()
    text = "No wafleet runs on it now." if pid is None else f"A wafleet (pid {pid}) runs on it."
    yield Finding("node", Verdict.OK, text)


def space(data: DataDir) -> Iterator[Finding]:
    """Look at the file system that the data directory is on, or will be."""
    there = next(path for path in (data.root, *data.root.parents) if path.exists())
    system = os.statvfs(there)
    names = (data.database, data.database.with_name(f"{data.database.name}-wal"))
    database = sum(path.stat().st_size for path in names if path.exists())
    yield judge_space(system.f_bavail * system.f_frsize, database)
    yield judge_inodes(system.f_favail if system.f_files else None)


# ---- keys ----


def keys(settings: Settings, data: DataDir) -> Iterator[Finding]:
    """Prove that the keys open what was sealed here. Raises VaultError: then they do not."""
    keyring = read_keyring(settings, data)
    if keyring is None:
        text = "There are no keys yet, and nothing was encrypted: the first start makes one."
        yield Finding("keys", Verdict.OK, text)
        return
    if not proven(keyring, data):
        text = (
            "There is no check value, so that wrong keys would not be noticed: the next start "
            "writes one; make sure before that the keys are the right ones."
        )
        yield Finding("keys", Verdict.WARNING, text)
        return
    count = len(keyring.kids)
    text = f"The current key is {keyring.current}"
    text += f"; {count - 1} older on the ring still open what they sealed." if count > 1 else "."
    yield Finding("keys", Verdict.OK, text)


@dataclass(frozen=True, slots=True)
class _Value:
    """Something small that is kept sealed, and what it is bound to."""

    what: str
    sealed: str
    context: Mapping[str, str]


def tokens(settings: Settings, place: Place) -> Iterator[Finding]:
    """Open every access token."""
    tally = Tally("access_tokens", "access tokens")
    yield from _opened(tally, settings, place, asyncio.run(_tokens(place)))


def webhook_secrets(settings: Settings, place: Place) -> Iterator[Finding]:
    """Open every webhook's secrets: what does not open signs nothing."""
    tally = Tally("webhook_secrets", "webhook secrets")
    yield from _opened(tally, settings, place, asyncio.run(_secrets(place)))


def _opened(
    tally: Tally, settings: Settings, place: Place, values: Iterable[_Value]
) -> Iterator[Finding]:
    keyring = read_keyring(settings, place.data)
    for value in values:
        tally.count += 1
        if keyring is None:
            tally.bad(value.what, "there is no key")
            continue
        try:
            SecretBox(keyring).open(value.sealed, value.context)
        except VaultError as error:
            tally.bad(value.what, str(error))
    yield from tally.findings("each opens")


async def _tokens(place: Place) -> list[_Value]:
    async with open_meta_rows(place) as rows:
        return [
            _Value(f"session {one.uuid}", one.meta["access_token"], token_context(home, one.uuid))
            for home, one in await rows.all()
        ]


async def _secrets(place: Place) -> list[_Value]:
    async with open_webhook_rows(place) as rows:
        return [
            _Value(
                f"{one.column.replace('_', ' ')} of webhook {one.webhook_id}",
                one.sealed,
                secret_context(one.webhook_id),
            )
            for one in await rows.all()
        ]
