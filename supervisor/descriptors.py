"""File descriptors: the limit is raised at the start, and must be enough for what is configured.

A process that runs out of them can't open a pipe, a database page or a connection, and fails in
places that nobody has thought of. So none is started that could run out.
"""

from __future__ import annotations

import resource
from typing import Final

import structlog

from supervisor.errors import DescriptorsTooFew

log = structlog.get_logger(__name__)

WANTED: Final = 65_536
BASE: Final = 128
"""For everything but sessions: 18 at rest, the others for clients, archives and look-rounds."""
SESSION: Final = 16
"""A session holds 5 (three pipes, a pidfd, its lock) and takes 14 while its browser starts."""
RESERVE: Final = 64
"""What stays free for everything else when one more session is started."""
BROWSER: Final = 512
"""Browsers inherit the limit, each for itself: Chromium aborts below 256, a busy one needs more."""


def needed(sessions: int) -> int:
    """Return the limit without which so many sessions can't run."""
    return max(BROWSER, BASE + SESSION * sessions)


def raise_limit() -> int:
    """Raise the soft limit as far as needed and allowed, and return it. Browsers inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED if hard == resource.RLIM_INFINITY else min(hard, WANTED)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    log.info("descriptor_limit_raised", limit=wanted)
    return wanted


def require(limit: int, sessions: int) -> None:
    """Raise DescriptorsTooFew unless so many sessions can run under this limit."""
    least = needed(sessions)
    if limit != resource.RLIM_INFINITY and limit < least:
        raise DescriptorsTooFew(
            f"The limit of {limit} open files is too low for {sessions} sessions, which need"
            f" {least}; raise it to {WANTED} (ulimit -n, LimitNOFILE=, --ulimit nofile=), or lower"
            " max_sessions."
        )
