"""Why an administration command does not do what it was asked.

AdminError            exit code  what to do
├── DatabaseMissing       5      run wafleet migrate up, or set the data directory
├── MigrationPending      5      stop wafleet and run wafleet migrate up
├── ImportUnreadable      2      correct the file
├── ArgumentInvalid       2      correct the argument
├── OutputUnwritable      1      choose another file
├── KeyringFixed          1      rotate where the key comes from
├── BackupBad             1      restore another backup
├── BackupTargetTaken     1      choose another directory
└── RestoreTargetTaken    1      restore into another data directory, or replace this one's data
"""

from __future__ import annotations

from typing import ClassVar


class AdminError(Exception):
    """Base; the text says what to do."""

    code: ClassVar[str] = "admin_failed"
    exit_code: ClassVar[int] = 1


class DatabaseMissing(AdminError):  # noqa: N818 - reads as what is wrong
    code = "database_missing"
    exit_code = 5


class MigrationPending(AdminError):  # noqa: N818
    code = "migration_pending"
    exit_code = 5


class ImportUnreadable(AdminError):  # noqa: N818
    code = "import_unreadable"
    exit_code = 2


class ArgumentInvalid(AdminError):  # noqa: N818
    code = "argument_invalid"
    exit_code = 2


class OutputUnwritable(AdminError):  # noqa: N818
    code = "output_unwritable"


class KeyringFixed(AdminError):  # noqa: N818
    code = "keyring_fixed"


class BackupBad(AdminError):  # noqa: N818
    """What is there is no backup, not all of one, or not as it was written."""

    code = "backup_bad"


class BackupTargetTaken(AdminError):  # noqa: N818
    code = "backup_target_taken"


class RestoreTargetTaken(AdminError):  # noqa: N818
    code = "restore_target_taken"
