"""Everything that can go wrong in the vault; the text of each error says what to do.

    VaultError                    code, sentence
    ├── KeyringUnusable           the keys can't be read, are malformed, or others can read them
    ├── KeyMissing                sealed with a key that is not on the ring
    ├── KeyWrong                  the ring's key of that id is not the one that sealed it
    ├── SecretDamaged             a sealed text was changed, or belongs to another place
    ├── ArchiveUnreadable         no such file, or the system refuses to read it
    ├── ArchiveUnwritable         the disk is full, or the system refuses to write
    ├── ArchiveDamaged            not an archive; truncated, flipped, swapped, appended to
    ├── ArchiveUnsupported        an intact archive of a newer format
    ├── ArchiveForeign            an intact archive of another workspace or session
    ├── ArchiveTooOld             an intact archive of an earlier generation than expected
    ├── ArchiveAhead              an intact archive of a later generation than expected
    ├── ProfileUnusable           a directory can't be read or written, or is not empty
    ├── ProfileChanged            a profile changed while it was copied: its browser is running
    ├── ProfileUnsafe             a packed profile holds links, or paths that lead out of it
    ├── ProfileDamaged            a packed profile is not a whole tar stream
    └── ProfileTooLarge           a profile is larger than allowed

No text ever holds a key or a secret.
"""

from __future__ import annotations

from typing import ClassVar


class VaultError(Exception):
    """Base of all failures of the vault; the text says what to do."""

    code: ClassVar[str] = "vault_failed"


class KeyringUnusable(VaultError):  # noqa: N818 - the port speaks in domain words
    code = "keyring_unusable"


class KeyMissing(VaultError):  # noqa: N818
    code = "key_missing"


class KeyWrong(VaultError):  # noqa: N818
    code = "key_wrong"


class SecretDamaged(VaultError):  # noqa: N818
    code = "secret_damaged"


class ArchiveUnreadable(VaultError):  # noqa: N818
    code = "archive_unreadable"


class ArchiveUnwritable(VaultError):  # noqa: N818
    code = "archive_unwritable"


class ArchiveDamaged(VaultError):  # noqa: N818
    code = "archive_damaged"


class ArchiveUnsupported(VaultError):  # noqa: N818
    code = "archive_unsupported"


class ArchiveForeign(VaultError):  # noqa: N818
    code = "archive_foreign"


class ArchiveTooOld(VaultError):  # noqa: N818
    code = "archive_too_old"


class ArchiveAhead(VaultError):  # noqa: N818
    code = "archive_ahead"


class ProfileUnusable(VaultError):  # noqa: N818
    code = "profile_unusable"


class ProfileChanged(VaultError):  # noqa: N818
    code = "profile_changed"


class ProfileUnsafe(VaultError):  # noqa: N818
    code = "profile_unsafe"


class ProfileDamaged(VaultError):  # noqa: N818
    code = "profile_damaged"


class ProfileTooLarge(VaultError):  # noqa: N818
    code = "profile_too_large"
