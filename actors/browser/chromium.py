"""Which Chromium there is, and its version."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from actors.browser.driver import ChromiumMissing

CANDIDATES: Final = (
    # The programs themselves before Debian's shell wrappers: a wrapper stays as a process of its
    # own, whose pid and exit code say little about the browser.
    "/usr/lib/chromium/chromium-headless-shell",
    "chromium-headless-shell",
    "chrome-headless-shell",
    "/usr/lib/chromium/chromium",
    "chromium",
    "chromium-browser",
    "google-chrome-stable",
    "google-chrome",
)
VERSION_DEADLINE: Final = 20.0
HOW_TO_INSTALL: Final = (
    "install the Debian package chromium-headless-shell (or chromium), "
    "or set the path of a Chromium executable"
)


@dataclass(frozen=True, slots=True)
class Chromium:
    """An executable that exists, and its full version (like 156.0.8078.79)."""

    executable: Path
    version: str


def find_executable(explicit: Path | None) -> Path:
    """Return the Chromium to run. Raises ChromiumMissing."""
    if explicit is not None:
        if explicit.is_file() and os.access(explicit, os.X_OK):
            return explicit.resolve()
        raise ChromiumMissing(f"{explicit} is no executable file: {HOW_TO_INSTALL}")
    for candidate in CANDIDATES:
        found = shutil.which(candidate)
        if found is not None:
            return Path(found).resolve()
    raise ChromiumMissing(f"no Chromium was found: {HOW_TO_INSTALL}")


def read_version(executable: Path) -> str:
    """Run it once with --version. Blocks for some 50 ms. Raises ChromiumMissing."""
    try:
        output = subprocess.run(
            [executable, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=VERSION_DEADLINE,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise ChromiumMissing(f"{executable} does not tell its version: {error}") from error
    return parse_version(output)


def parse_version(output: str) -> str:
    """Take the four-part number out of --version's text. Raises ChromiumMissing."""
    match = re.search(r"\b(\d+\.\d+\.\d+\.\d+)\b", output)
    if match is None:
        raise ChromiumMissing(f"this is not a Chromium: --version printed {output[:80]!r}")
    return match[1]
