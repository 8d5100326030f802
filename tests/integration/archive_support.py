"""Archives for tests: real files, a real index, a key of their own."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from storage.archive_files import ArchiveFiles
from storage.vault import Keyring

if TYPE_CHECKING:
    from pathlib import Path

    from storage.space import Space
    from storage.sqlite.store import SqliteStore

RING: Final = Keyring({"k1": b"1" * 32})
OTHER_RING: Final = Keyring({"k1": b"2" * 32})


def archive_files(
    data: Path,
    store: SqliteStore,
    keyring: Keyring = RING,
    keep: int = 3,
    space: Space | None = None,
) -> ArchiveFiles:
    return ArchiveFiles(
        data=data,
        store=store,
        index=store,
        keyring=keyring,
        keep=keep,
        now_ms=lambda: time.time_ns() // 1_000_000,
        space=space,
    )


def make_profile(directory: Path, text: str = "login") -> Path:
    """Make a directory that looks like a profile with a login."""
    database = directory / "Default" / "IndexedDB" / "https_web.whatsapp.com_0.indexeddb.leveldb"
    database.mkdir(parents=True)
    (database / "CURRENT").write_text("MANIFEST-000001\n")
    (database / "000003.log").write_text(text)
    (directory / "Local State").write_text("{}")
    return directory


def read_profile(directory: Path) -> str:
    """Return the text that `make_profile` put there."""
    database = directory / "Default" / "IndexedDB" / "https_web.whatsapp.com_0.indexeddb.leveldb"
    return (database / "000003.log").read_text()
