"""Why wafleet does not start, or ends by itself; each with the exit code that the program returns.

    StartError              exit code  what to do
    ├── DataDirInUse        3          stop the other wafleet, or use another data directory
    ├── DataDirUnusable     3          make the directory writable
    ├── KeyUnusable         2          fix or remove the key file
    ├── KekUnusable         7          give the keys with which the data were sealed
    ├── DatabaseLost        5          put a backup back, or move what is left away
    └── DescriptorsTooFew   8          raise the limit of open files, or lower max_sessions
    SupervisorDied          70         a defect: see the log; start again (a service manager will)

Errors of the ports keep their own classes: settings 2, Chromium or bundle 4, database 5, address 6.
"""

from __future__ import annotations

from typing import ClassVar


class StartError(Exception):
    """Base; the text says what to do."""

    code: ClassVar[str] = "start_failed"
    exit_code: ClassVar[int] = 1


class DataDirInUse(StartError):  # noqa: N818 - reads as what is wrong
    code = "data_dir_in_use"
    exit_code = 3


class DataDirUnusable(StartError):  # noqa: N818
    code = "data_dir_unusable"
    exit_code = 3


class KeyUnusable(StartError):  # noqa: N818
    code = "api_key_unusable"
    exit_code = 2


class KekUnusable(StartError):  # noqa: N818
    """The key-encryption keys are missing, unreadable or not those of this data directory."""

    code = "kek_unusable"
    exit_code = 7


class DatabaseLost(StartError):  # noqa: N818
    """There was a database here and there is none, nor anything to make it from."""

    code = "database_lost"
    exit_code = 5


class DescriptorsTooFew(StartError):  # noqa: N818
    code = "descriptors_too_few"
    exit_code = 8


class SupervisorDied(Exception):  # noqa: N818
    """The root supervisor actor ended without being told to."""

    code: ClassVar[str] = "supervisor_died"
