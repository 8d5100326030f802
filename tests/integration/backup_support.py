"""A data directory with something of everything to back up, and looks at what came of it."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from base64 import b64encode
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from config.settings import Settings
from storage.privacy import NewMedia
from storage.sqlite import open_store
from supervisor.admin.backup import make_backup
from supervisor.admin.place import Place
from supervisor.admin.restore import put_back
from supervisor.admin.verification import open_backup, verify_backup
from supervisor.datadir import DataDir
from tests.integration.archive_support import RING, archive_files, make_profile
from tests.integration.outbox_support import claim_next
from tests.integration.tenant_support import NOW, home_of, inbound, outbound

if TYPE_CHECKING:
    from pathlib import Path

    from storage.vault import Keyring
    from supervisor.admin.backup import BackupReport
    from supervisor.admin.restore import RestoreReport

KEK: Final = f"k1:{b64encode(b'1' * 32).decode()}"
OTHER_KEK: Final = f"k1:{b64encode(b'2' * 32).decode()}"
MEDIA: Final = b"a picture" * 1000
GENERATIONS: Final = 2


@dataclass(frozen=True)
class Furnished:
    """A stopped node's data: two sessions with archives, media, messages in several states."""

    place: Place
    workspace: str
    sessions: tuple[str, str]

    @property
    def root(self) -> Path:
        return self.place.data.root

    def archive(self, session: int, generation: int) -> Path:
        folder = self.root / "archives" / self.workspace / self.sessions[session]
        return folder / f"{generation}.wfa"


def place_of(root: Path) -> Place:
    return Place(DataDir(root), 2000)


def settings_of(root: Path, **more: Any) -> Settings:
    return Settings(data_dir=root, **more)


def put_keys(root: Path, kek: str = KEK) -> None:
    """Do what the operator does before a restore."""
    folder = root / "keys"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / "kek").touch(mode=0o600)
    (folder / "kek").write_text(kek + "\n")


async def furnish(root: Path) -> Furnished:
    """Make the data directory."""
    place = place_of(root)
    with place.stopped():
        put_keys(root)
        (root / "api.key").write_text("wsk_do-not-copy-me\n")
        async with open_store(place.data.database) as store:
            home = await home_of(store)
            archives = archive_files(root, store)
            ids = []
            for name in ("one", "two"):
                session, _ = await store.create_session(home, name, NOW)
                ids.append(session.id)
                profile = place.data.paths(session.id).profile
                make_profile(profile, f"login of {name}")
                for generation in range(GENERATIONS):
                    copied = make_profile(root / "copied", f"{name} {generation + 1}")
                    await archives.save(session.id, copied)
            for wa_id in ("SENT", "SENDING", "WAITING1", "WAITING2"):
                await store.accept_message(home, outbound(ids[0], wa_id))
            for ack in (1, None):
                claimed = await claim_next(store, ids[0], NOW)
                assert claimed is not None
                if ack:
                    await store.record_sent(claimed.id, ack, NOW)
            received = await store.record_inbound(inbound(ids[0], "IN"))
            assert received is not None
            (root / "media").mkdir(mode=0o700)
            (root / "media" / "picture").write_bytes(MEDIA)
            await store.record_media(
                NewMedia(
                    message_id=received.id,
                    path="media/picture",
                    sha256=hashlib.sha256(MEDIA).hexdigest(),
                    bytes=len(MEDIA),
                    now_ms=NOW,
                )
            )
    return Furnished(place, home, (ids[0], ids[1]))


def back_up(place: Place, target: Path, keyring: Keyring = RING, **more: Any) -> BackupReport:
    return make_backup(place, keyring, target, **more)


def verified(directory: Path, keyring: Keyring = RING) -> None:
    verify_backup(open_backup(directory, keyring), keyring)


async def bring_back(
    directory: Path, root: Path, keyring: Keyring = RING, *, replace: bool = False
) -> RestoreReport:
    """Restore as the command does."""
    place = place_of(root)
    backup = verify_backup(open_backup(directory, keyring), keyring)
    with place.stopped():
        return await put_back(place, keyring, backup, replace=replace)


def query(database: Path, sql: str, *values: object) -> list[Any]:
    with closing(sqlite3.connect(f"file:{database}?mode=ro&immutable=1", uri=True)) as plain:
        return plain.execute(sql, values).fetchall()


def execute(database: Path, *statements: str) -> None:
    """Change the database as some other program would."""
    with closing(sqlite3.connect(database, isolation_level=None)) as plain:
        plain.execute("PRAGMA busy_timeout = 5000")
        for statement in statements:
            plain.execute(statement)


def tree(root: Path) -> dict[str, bytes]:
    """Return every file below a directory with its content."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def fresh_copy(source: Path, target: Path) -> Path:
    """Copy a directory, so that a test can spoil it."""
    shutil.copytree(source, target, symlinks=True)
    return target
