"""The data directory: one owner at a time, private to its user, and the key that is kept in it.

What is where in it:

    DIR/wafleet.lock       held with flock by the running supervisor; holds its pid
    DIR/wafleet.db         the database (and its -wal, -shm)
    DIR/api.key            the bootstrap key, made on the first run unless one is configured
    DIR/sessions/ULID/     one session: profile/, tmp/, owner.lock; copy/ while it is archived
    DIR/archives/…         sessions' logins, encrypted (storage.archive_files)
    DIR/media/…            files that came with messages, encrypted (storage.media_files)
    DIR/snapshots/…        the database as it was some hours ago (storage.sqlite.snapshots)
    DIR/damaged/TIME/      what a boot has put aside: a damaged database, files of no use with it
    DIR/replaced/TIME/     what a restore has put away: database, archives, media, snapshots
    DIR/keys/kek           the keys they are encrypted with, unless configured elsewhere
    DIR/keys/check         tells the right keys from wrong ones
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from actors.browser.driver import SessionPaths
from actors.browser.logins import COPY
from supervisor.errors import DataDirInUse, DataDirUnusable, KeyUnusable

if TYPE_CHECKING:
    from collections.abc import Iterator

ULID: Final = re.compile(r"^[0-9A-HJKMNP-TV-Z]{26}$")
SHORTEST_KEY: Final = 16
DATABASE: Final = "wafleet.db"
ARCHIVES: Final = "archives"
MEDIA: Final = "media"
LOCK: Final = "wafleet.lock"


class DataDir:
    """Paths below the data directory. Only server-made ids become path names."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.database = self.root / DATABASE
        self.key_file = self.root / "api.key"
        self.sessions = self.root / "sessions"
        self.keys = self.root / "keys"
        self.archives = self.root / ARCHIVES
        self.media = self.root / MEDIA
        self.snapshots = self.root / "snapshots"
        self.damaged = self.root / "damaged"
        self.replaced = self.root / "replaced"

    def session(self, session_id: str) -> Path:
        """Return a session's own directory. Raises ValueError unless the id is a ULID."""
        if not ULID.match(session_id):
            raise ValueError("a session id is a ULID")
        return self.sessions / session_id

    def paths(self, session_id: str) -> SessionPaths:
        directory = self.session(session_id)
        return SessionPaths(profile=directory / "profile", tmp=directory / "tmp")

    def remove_copies(self) -> int:
        """Remove the plain copies of profiles that a killed wafleet left; return how many."""
        left = list(self.sessions.glob(f"*/{COPY}"))
        for copy in left:
            shutil.rmtree(copy)
        return len(left)

    def holder(self) -> int | None:
        """Return the pid of the wafleet that holds the directory, None if none does.

        By the system's list of locks: trying the lock could get into the way of one that starts.
        """
        try:
            lock = (self.root / LOCK).stat()
            recorded = (self.root / LOCK).read_text("ascii", "replace").strip()
        except OSError:
            return None
        device = f"{os.major(lock.st_dev):02x}:{os.minor(lock.st_dev):02x}"
        for line in Path("/proc/locks").read_text("ascii").splitlines():
            # 3: FLOCK  ADVISORY  WRITE 21451 fe:00:2212563 0 EOF; one that waits has an arrow
            if " -> " in line:
                continue
            _, kind, _, _, pid, place, *_ = line.split()
            where, _, inode = place.rpartition(":")
            # Some file systems (Btrfs) are listed under another device than files there tell.
            ours = inode == str(lock.st_ino) and (where == device or pid == recorded)
            if kind == "FLOCK" and ours:
                return int(pid)
        return None

    @contextmanager
    def owned(self) -> Iterator[None]:
        """Make the directory and hold it while the block runs; the lock ends with the process."""
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.sessions.mkdir(mode=0o700, exist_ok=True)
            lock = os.open(self.root / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise DataDirUnusable(
                f"The data directory {self.root} can't be used ({error.strerror}): "
                "make it a writable directory, or set WAFLEET_DATA_DIR to another one."
            ) from error
        try:
            self._take(lock)
            yield
        finally:
            os.close(lock)

    def _take(self, lock: int) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(lock, 32, 0).decode("ascii", "replace").strip() or "unknown"
            raise DataDirInUse(
                f"The data directory {self.root} is in use by another wafleet (pid {holder}): "
                "stop that one, or set WAFLEET_DATA_DIR to another directory."
            ) from None
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode("ascii"), 0)

    def bootstrap_key(self, configured: str | None) -> tuple[str, bool]:
        """Return the API key and whether it was made now: configured, else kept, else new."""
        if configured is not None:
            return configured, False
        try:
            key = self.key_file.read_text("ascii").strip()
        except FileNotFoundError:
            return self._new_key(), True
        except (OSError, UnicodeDecodeError) as error:
            raise KeyUnusable(
                f"The key file {self.key_file} can't be read ({type(error).__name__}): "
                "fix it, or remove it to get a new key."
            ) from error
        if len(key) < SHORTEST_KEY:
            raise KeyUnusable(
                f"The key file {self.key_file} is empty or too short (at least {SHORTEST_KEY} "
                "characters): put a key in it, or remove it to get a new one."
            )
        return key, False

    def _new_key(self) -> str:
        key = f"wsk_{secrets.token_urlsafe(32)}"
        draft = self.key_file.with_suffix(".new")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(key + "\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.key_file)
        return key
