"""A backup's manifest: what is in it, what is not, and the seal that proves both.

`manifest.json` is a JSON object: format, created_at (RFC 3339), wafleet (the version of the
program), migrations (the versions of the database), files [{path, bytes, sha256}], left_out [{path,
reason}], seal. Paths are relative to the backup and to the data directory alike: the database, and
files below archives/ and media/. Nothing else is ever written by a restore.

The seal is the SHA-256 of everything else, in one spelling, sealed with the node's keys: it opens
only with the right keys, and only if nothing was changed. Whoever has no key can't write another.
"""

import hashlib
import hmac
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from storage.vault import Keyring, SecretBox
from storage.vault.errors import SecretDamaged
from storage.vault.files import open_regular
from supervisor.admin.errors import BackupBad
from supervisor.datadir import ARCHIVES, DATABASE, MEDIA

MANIFEST: Final = "manifest.json"
FORMAT: Final = 1
_LARGEST: Final = 256 * 1024 * 1024
_CONTEXT: Final = {"document": "backup manifest"}
_FOLDERS: Final = frozenset({ARCHIVES, MEDIA})


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class BackupFile(_Part):
    path: str
    bytes: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class LeftOut(_Part):
    """A file that the database points to and that is not in the backup; `reason` is stable."""

    path: str
    reason: str


class Contents(_Part):
    """What is sealed."""

    format: Literal[1] = FORMAT
    created_at: str
    wafleet: str
    migrations: tuple[str, ...]
    files: tuple[BackupFile, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)

    def below(self, folder: str) -> Sequence[BackupFile]:
        """Return the files in one of the folders."""
        return [file for file in self.files if file.path.startswith(f"{folder}/")]

    def digest(self) -> str:
        """Return the SHA-256 that is sealed, as hex: keys sorted, no spaces, ASCII only."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode("ascii")).hexdigest()


class _Sealed(Contents):
    seal: str


class _AnyFormat(BaseModel):
    format: int


def is_kept_file(path: str) -> bool:
    """Tell whether a path is one of those that a backup may hold beside the database."""
    folder, *rest = path.split("/")
    inside = folder in _FOLDERS and rest and not {"", ".", ".."} & set(rest)
    return bool(inside) and path.isprintable()


def below_files(paths: Iterable[str]) -> frozenset[str]:
    """Return those of the paths that use another one of them as a folder."""
    files = set(paths)
    return frozenset(
        path
        for path in files
        if any(path[:at] in files for at, letter in enumerate(path) if letter == "/")
    )


def manifest_text(contents: Contents, keyring: Keyring) -> str:
    """Return the whole manifest, sealed with the current key."""
    seal = SecretBox(keyring).seal(contents.digest().encode("ascii"), _CONTEXT)
    return json.dumps({**contents.model_dump(mode="json"), "seal": seal}, indent=1) + "\n"


def read_manifest(directory: Path, keyring: Keyring) -> Contents:
    """Return the manifest of a backup, proven. Raises BackupBad, KeyMissing, KeyWrong."""
    path = directory / MANIFEST
    raw = _read(path)
    try:
        found = _AnyFormat.model_validate_json(raw, strict=True).format
        if found != FORMAT:
            raise BackupBad(
                f"{path} is of format {found}, this wafleet knows {FORMAT}: restore with the "
                "wafleet that wrote it."
            )
        sealed = _Sealed.model_validate_json(raw)
    except ValidationError as error:
        kind = error.errors(include_url=False, include_input=False)[0]["type"]
        raise BackupBad(
            f"{path} is no manifest ({kind}): it was changed, or never one; use another backup."
        ) from None
    contents = Contents.model_validate(sealed.model_dump(exclude={"seal"}))
    _prove(contents, sealed.seal, keyring, path)
    _check_paths(contents, path)
    return contents


def _read(path: Path) -> bytes:
    try:
        fd, _ = open_regular(path)
        with os.fdopen(fd, "rb") as file:
            raw = file.read(_LARGEST + 1)
    except FileNotFoundError:
        raise BackupBad(
            f"There is no {path}: this is no backup, or not all of one; use another."
        ) from None
    except OSError as error:
        raise BackupBad(
            f"{path} can't be read ({error.strerror}); correct that, or use another backup."
        ) from None
    if len(raw) > _LARGEST:
        raise BackupBad(f"{path} is too large for a manifest; use another backup.")
    return raw


def _prove(contents: Contents, seal: str, keyring: Keyring, path: Path) -> None:
    try:
        digest = SecretBox(keyring).open(seal, _CONTEXT)
    except SecretDamaged:
        digest = b""
    if not hmac.compare_digest(digest, contents.digest().encode("ascii")):
        raise BackupBad(
            f"{path} is not as it was sealed: it was changed, or is damaged; use another backup."
        )


def _check_paths(contents: Contents, manifest: Path) -> None:
    """Whoever wrote this had the keys. That is no reason to write wherever it says."""
    paths = [file.path for file in contents.files]
    if not all(path == DATABASE or is_kept_file(path) for path in paths):
        raise BackupBad(
            f"{manifest} names a file outside of what a backup holds; nothing of it was used. Find "
            "out who made it."
        )
    if DATABASE not in paths or len(set(paths)) != len(paths) or below_files(paths):
        raise BackupBad(f"{manifest} does not list the files of a backup; use another backup.")
