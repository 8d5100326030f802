"""A browser's TMPDIR: its session's own, by a name that is short enough.

The full Chromium puts a socket below TMPDIR, and a socket's path may have 107 bytes. Where the data
directory lies too deep for that, a short directory in the system's temporary one leads to it by a
link; it goes with the browser, and the boot removes what a killed supervisor left.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

LONGEST_SOCKET_PATH: Final = 107
CHROMIUM_ADDS: Final = len("/.org.chromium.Chromium.scoped_dir.XXXXXX/SingletonSocket")
PREFIX: Final = "wafleet-tmp-"
LINK: Final = "t"


class Scratch:
    """Where TMPDIR points; `close` removes the link, not what it leads to. Raises OSError."""

    def __init__(self, tmp: Path) -> None:
        self._made: Path | None = None
        self.path = tmp
        if len(os.fsencode(tmp)) + CHROMIUM_ADDS > LONGEST_SOCKET_PATH:
            self._made = Path(tempfile.mkdtemp(prefix=PREFIX))
            self.path = self._made / LINK
            self.path.symlink_to(tmp)

    def close(self) -> None:
        """Remove the link, if one was made. Idempotent."""
        made, self._made = self._made, None
        if made is not None:
            _remove(made)


def sweep_links(root: Path) -> int:
    """Remove the links that lead below `root`; return how many. Nothing of it must run."""
    swept = 0
    inside = f"{os.path.abspath(root)}{os.sep}"  # noqa: PTH100 - not the links' aim
    for made in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        try:
            ours = made.lstat().st_uid == os.geteuid()
            aim = os.readlink(made / LINK)  # noqa: PTH115 - compared as text
        except OSError:
            continue  # another user's, or not of our making
        if ours and aim.startswith(inside):
            _remove(made)
            swept += 1
    return swept


def _remove(made: Path) -> None:
    with suppress(FileNotFoundError):  # somebody cleans the temporary directory, too
        (made / LINK).unlink()
        made.rmdir()
