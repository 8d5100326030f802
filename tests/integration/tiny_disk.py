"""A file system of its own, of a few megabytes, where this user may mount one."""

from __future__ import annotations

import ctypes
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LAZY = 2  # MNT_DETACH


@contextmanager
def tiny_disk(directory: Path, options: str) -> Iterator[Path]:
    """Mount a tmpfs (options such as size=2m) on a new directory; skip the test where it can't."""
    directory.mkdir(mode=0o700)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"tmpfs", os.fsencode(directory), b"tmpfs", 0, options.encode()) != 0:
        pytest.skip(f"a tmpfs can't be mounted here ({os.strerror(ctypes.get_errno())})")
    try:
        yield directory
    finally:
        assert libc.umount2(os.fsencode(directory), _LAZY) == 0
