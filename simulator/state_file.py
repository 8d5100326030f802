"""Keeps the world in a JSON file, so that a restarted simulator remembers its accounts.

Errors: StateError, code ``state_unreadable``, when the file is not one that this version wrote.
"""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulator.entities import Account, AutoScan, Chat, Contact, Device, Group, Message, Stanza
from simulator.errors import SimulatorError

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.timers import Timers
    from simulator.world import World

VERSION = 1


class StateError(SimulatorError):
    """The state file cannot be used."""


def dump(world: World) -> str:
    """The world as JSON text."""
    return json.dumps(
        {
            "version": VERSION,
            "accounts": [dataclasses.asdict(a) for a in world.accounts.values()],
            "contacts": [dataclasses.asdict(c) for c in world.contacts.values()],
            "groups": [dataclasses.asdict(g) for g in world.groups.values()],
        },
        ensure_ascii=False,
    )


def load(text: str, world: World) -> None:
    """Fill an empty world from what ``dump`` wrote."""
    try:
        data = json.loads(text)
        if data["version"] != VERSION:
            raise StateError("state_unreadable", "The state file is of another version; remove it.")
        world.accounts.update({a["number"]: _account(a) for a in data["accounts"]})
        world.contacts.update({c["number"]: Contact(**c) for c in data["contacts"]})
        world.groups.update({g["id"]: Group(**g) for g in data["groups"]})
    except (ValueError, KeyError, TypeError) as error:
        raise StateError(
            "state_unreadable", "The state file is damaged; remove it to start afresh."
        ) from error
    world.reindex()


def write_atomically(path: Path, text: str, mode: int = 0o600) -> None:
    """Replace a file in one step; readers see the old or the new content, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), mode)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


class StateFile:
    """Saves the world shortly after it changed, many changes in one write.

    A large world is saved less often, so that saving takes a twentieth of the time at most.
    """

    def __init__(self, path: Path, world: World, timers: Timers, delay: float = 0.1) -> None:
        self._path = path
        self._world = world
        self._timers = timers
        self._delay = delay
        self._waiting = False
        self._cost = 0.0

    def load(self) -> None:
        if self._path.exists():
            load(self._path.read_text(encoding="utf-8"), self._world)

    def changed(self) -> None:
        """Note that there is something to save."""
        if not self._waiting:
            self._waiting = True
            self._timers.later(max(self._delay, self._cost * 20), self.save)

    def save(self) -> None:
        self._waiting = False
        started = time.monotonic()
        write_atomically(self._path, dump(self._world))
        self._cost = time.monotonic() - started


def _each(cls: Callable[..., Any], values: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {key: cls(**value) for key, value in values.items()}


def _device(data: dict[str, Any]) -> Device:
    return Device(**{**data, "queue": [Stanza(**s) for s in data["queue"]]})


def _chat(data: dict[str, Any]) -> Chat:
    return Chat(**{**data, "messages": _each(Message, data["messages"])})


def _account(data: dict[str, Any]) -> Account:
    scan = data["auto_scan"]
    return Account(
        **{
            **data,
            "devices": {k: _device(d) for k, d in data["devices"].items()},
            "chats": {k: _chat(c) for k, c in data["chats"].items()},
            "auto_scan": AutoScan(**scan) if scan else None,
        }
    )
