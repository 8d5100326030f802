"""Why an administration command does not do what it was asked.

AdminError            exit code  what to do
├── DatabaseMissing       5      run wafleet migrate up, or set the data directory
├── MigrationPending      5      stop wafleet and run wafleet migrate up
├── ImportUnreadable      2      correct the file
├── ArgumentInvalid       2      correct the argument
├── OutputUnwritable      1      choose another file
└── KeyringFixed          1      rotate where the key comes from
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
