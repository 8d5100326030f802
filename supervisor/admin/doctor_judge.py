"""What the doctor finds good, doubtful or bad: pure judgement of figures, with what to do.

The constants are here with their reasons. What the figures are is found out in doctor_host and
doctor_data.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

KIB: Final = 1024
MIB: Final = 1024 * KIB
GIB: Final = 1024 * MIB

LOW_SPACE: Final = 2 * GIB
"""Fifty profiles grow by some tens of megabytes each before anything is cleaned up."""
NO_SPACE: Final = 512 * MIB
"""Below it one archive, a full log (64 MiB) and a browser's cache can fill the rest in minutes; a
profile that its browser could not write may lose its login."""
LOW_INODES: Final = 20_000
"""A profile has some hundreds of files; fifty of them have tens of thousands."""
NO_INODES: Final = 2_000
WANTED_FILES: Final = 65_536
"""What a node of any size never reaches; its browsers inherit the limit."""
FEWEST_FILES: Final = 4_096
"""A node takes 20 and 6 for each session, but each of a browser's processes needs up to hundreds,
and Chromium fails in ways that do not tell why."""
ONE_BROWSER: Final = 300 * MIB
"""One browser with WhatsApp Web, which shares little with others while it is the only one."""
CLOCK_SLACK_MS: Final = 5_000
"""Clocks that are kept right are put back a little now and then."""
FIRST_YEAR: Final = 2025
LAST_YEAR: Final = 2100

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_MANY_SECONDS: Final = 172_800


class Verdict(StrEnum):
    OK = "ok"
    WARNING = "warning"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """`check` is a stable name; `text` is a sentence that says what to do, if anything."""

    check: str
    verdict: Verdict
    text: str


def worst(findings: Iterable[Finding]) -> Verdict:
    """Return the worst verdict of all; ok if there are none."""
    verdicts = {finding.verdict for finding in findings}
    return next((v for v in (Verdict.BAD, Verdict.WARNING) if v in verdicts), Verdict.OK)


def size_text(count: int) -> str:
    """Return a number of bytes for people."""
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count} bytes"


def judge_space(free: int, database: int) -> Finding:
    """Judge the bytes that this user may still write, beside the size of the database's files."""
    have = f"{size_text(free)} free on the data directory's file system"
    if free < NO_SPACE:
        text = f"Only {have}: free some now, at least {size_text(LOW_SPACE)}."
        return Finding("free_space", Verdict.BAD, text)
    if free < LOW_SPACE:
        text = f"Only {have}: free some, at least {size_text(LOW_SPACE)}."
        return Finding("free_space", Verdict.WARNING, text)
    if free < 2 * database:
        text = (
            f"{have}, less than twice the database ({size_text(database)}), which a backup or a "
            "migration needs: free some before the next one."
        )
        return Finding("free_space", Verdict.WARNING, text)
    return Finding("free_space", Verdict.OK, f"{have}.")


def judge_inodes(free: int | None) -> Finding:
    """Judge how many files can still be made; None where the file system does not count them."""
    if free is None:
        return Finding("free_inodes", Verdict.OK, "The file system has no limit of files.")
    have = f"{free} more files can be made on the data directory's file system"
    if free >= LOW_INODES:
        return Finding("free_inodes", Verdict.OK, f"{have}.")
    verdict = Verdict.BAD if free < NO_INODES else Verdict.WARNING
    return Finding("free_inodes", verdict, f"Only {have}: remove files, at least {LOW_INODES}.")


def judge_entry(
    name: str, *, mode: int, owner: int, me: int, secret: bool, is_directory: bool
) -> Finding | None:
    """Judge a directory's or file's mode and owner; None if they are right.

    `secret`: others who can read it get a login or a key; else what is in it is encrypted, or
    protected one level below.
    """
    if owner != me:
        text = (
            f"{name} belongs to user {owner}, and this is user {me}: run wafleet and its doctor as "
            "the user that the data directory belongs to, or change the owner."
        )
        return Finding("data_directory", Verdict.BAD, text)
    wanted = 0o700 if is_directory else 0o600
    if not mode & _OTHERS:
        return None
    text = f"Others may use {name} (mode {stat.S_IMODE(mode):04o}): chmod {wanted:o} it."
    return Finding("data_directory", Verdict.BAD if secret else Verdict.WARNING, text)


def judge_descriptors(soft: int, hard: int, whose: str) -> Finding:
    """Judge the limits of open files; `whose` begins the sentence."""
    have = f"{whose} may open {soft} files, at most {hard}"
    how = (
        f"set LimitNOFILE={WANTED_FILES} in its unit, --ulimit nofile={WANTED_FILES} for a "
        "container, or nofile in /etc/security/limits.conf"
    )
    if hard < FEWEST_FILES:
        text = f"{have}: too few for browsers; {how}."
        return Finding("descriptors", Verdict.BAD, text)
    if hard < WANTED_FILES:
        return Finding("descriptors", Verdict.WARNING, f"{have}: few for many sessions; {how}.")
    if soft < FEWEST_FILES:
        text = f"{have}: few for many sessions; {how}, or ulimit -n {WANTED_FILES} before it."
        return Finding("descriptors", Verdict.WARNING, text)
    return Finding("descriptors", Verdict.OK, f"{have}.")


def judge_memory(available: int) -> Finding:
    """Judge the bytes that can be taken without swapping, within this container."""
    have = f"{size_text(available)} of memory can be taken"
    if available < ONE_BROWSER:
        text = (
            f"Only {have}, and one browser needs some {size_text(ONE_BROWSER)}: stop something, or "
            "add memory."
        )
        return Finding("memory", Verdict.WARNING, text)
    text = f"{have}, some {available // ONE_BROWSER} browsers' worth."
    return Finding("memory", Verdict.OK, text)


def judge_sandbox(*, root: bool, switched_off: bool, obstacles: Iterable[str]) -> Finding:
    """Judge whether Chromium can protect the machine from pages; `obstacles` is what hinders it."""
    if root:
        text = "This is root, for whom Chromium has no sandbox: run wafleet as a user of its own."
        return Finding("sandbox", Verdict.WARNING, text)
    if switched_off:
        text = "chromium_no_sandbox is set: unset it unless Chromium can't run otherwise."
        return Finding("sandbox", Verdict.WARNING, text)
    hindered = "; ".join(obstacles)
    if hindered:
        text = (
            f"Chromium's sandbox can't be used here ({hindered}): allow user namespaces; otherwise "
            "browsers will not start unless chromium_no_sandbox is set."
        )
        return Finding("sandbox", Verdict.WARNING, text)
    return Finding("sandbox", Verdict.OK, "Nothing hinders Chromium's sandbox.")


def judge_synchronised(synchronised: bool | None) -> Finding:
    """Judge what the kernel says of its clock; None if it did not say anything."""
    if synchronised:
        text = "The kernel says that the clock is kept synchronised."
        return Finding("clock_sync", Verdict.OK, text)
    if synchronised is None:
        text = (
            "Unknown: the kernel can't be asked here whether the clock is kept synchronised; see "
            "to it on the host."
        )
        return Finding("clock_sync", Verdict.WARNING, text)
    text = (
        "The kernel says that nothing keeps the clock synchronised: run chrony or "
        "systemd-timesyncd, unless the host sets this clock."
    )
    return Finding("clock_sync", Verdict.WARNING, text)


def judge_time(now_ms: int, newest_ms: int | None) -> Finding:
    """Judge the wall clock beside the newest time in the database."""
    year = datetime.fromtimestamp(now_ms / 1000, UTC).year
    if not FIRST_YEAR <= year <= LAST_YEAR:
        text = f"The clock says {year}: set it before wafleet stores anything by it."
        return Finding("clock_time", Verdict.BAD, text)
    behind = 0 if newest_ms is None else newest_ms - now_ms
    if behind > CLOCK_SLACK_MS:
        text = (
            f"The clock is {_duration(behind // 1000)} behind the newest entry of the database: it "
            "was put back, or that entry was made by a wrong one. Set it right; times to live and "
            "limits are counted by it."
        )
        return Finding("clock_time", Verdict.BAD, text)
    text = f"The clock says {datetime.fromtimestamp(now_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC."
    return Finding("clock_time", Verdict.OK, text)


def _duration(seconds: int) -> str:
    return f"{seconds // 86_400} days" if seconds >= _MANY_SECONDS else f"{seconds} seconds"
