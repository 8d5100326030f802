"""What went wrong with a session, over all its incarnations, and which repair comes next. Pure.

An outage begins when a connected session is found not to be one, and ends when it is proven to be
one again, however many pages and browsers that takes. Its repairs go up by rungs: load the page
anew, start the browser anew with the stored login, restore the last good snapshot of the profile;
never a QR code. Times are seconds of one monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final


class Rung(StrEnum):
    """The liveness ladder: what of a session can be silent, each above the one before."""

    PROCESS = "process"
    CDP = "cdp"
    PAGE = "page"
    SOCKET = "socket"
    END = "end_to_end"


class Repair(StrEnum):
    """What can be done about it, gentlest first; `NONE` if it passed by itself."""

    NONE = "none"
    FREE = "free"
    TAKE_OVER = "take_over"
    RELOAD = "reload"
    RESTART = "restart"
    SNAPSHOT = "snapshot"


RUNGS: Final = {
    "browser_exited": Rung.PROCESS,
    "actor_crashed": Rung.PROCESS,
    "memory_exceeded": Rung.PROCESS,
    "login_lost": Rung.PAGE,
    "browser_unresponsive": Rung.CDP,
    "page_crashed": Rung.PAGE,
    "page_unresponsive": Rung.PAGE,
    "evidence_missing": Rung.END,
    "acks_missing": Rung.END,
}
"""On which rung a cause is found; what is not here is WhatsApp's own word: its socket."""

END_TO_END: Final = frozenset({"evidence_missing", "acks_missing"})
"""Causes that a new login alone does not refute: they end with a proof from end to end."""

RELOADABLE: Final = frozenset(
    {"page_crashed", "page_unresponsive", "evidence_missing", "socket_timeout"}
)
"""Causes that a new page in the same browser may mend."""

ONCE: Final = frozenset({"evidence_missing", "socket_timeout"})
"""Those of them that a second new page would not mend either."""

DAMAGE: Final = frozenset(
    {"launch_failed", "browser_exited", "browser_unresponsive", "page_crashed", "page_unresponsive"}
)
"""Causes that a damaged profile can have; none that WhatsApp or the network can have.

An older profile costs messages that can't be decrypted any more: it is no cure for a bad network.
"""

LOGIN_LOST: Final = "login_lost"
"""A QR code where a login was kept: no restart can help, a snapshot does at once."""

LONGEST_PAUSE: Final = 3600.0
TAKE_OVER_PERIOD: Final = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """`since` is the last proof of life on its rung before it was `found`; `told` in the log.

    `detail` is what the status says besides the cause.
    """

    cause: str
    rung: Rung
    since: float
    found: float
    detail: str | None = None
    told: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What must outlive an incarnation.

    `repairs` are those since the session was last well, `mended` is when the last one began;
    `failures` counts the incarnations that ended one after the other for the cause `failed`.
    `reloads`, `freed` and `taken_over` are times. `note` is the id of a note without an ack.
    """

    outage: Outage | None = None
    repairs: tuple[Repair, ...] = ()
    mended: float = 0.0
    failures: int = 0
    failed: str | None = None
    snapshot_tried: bool = False
    reloads: tuple[float, ...] = ()
    freed: float | None = None
    taken_over: tuple[float, ...] = ()
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairPolicy:
    """At most `reloads` new pages within `reload_period` seconds, then the browser is restarted.

    `snapshot_after` failures for the same cause restore a snapshot. `pause` seconds, doubling, lie
    between restarts for want of a proof. `take_overs` is how often within an hour a login is taken
    back from another window; 0 leaves it to that.
    """

    reloads: int
    reload_period: float
    snapshot_after: int
    pause: float
    take_overs: int


def rung_of(cause: str) -> Rung:
    """Return the rung on which a cause is found."""
    return RUNGS.get(cause, Rung.SOCKET)


def mend(
    history: History, cause: str, now: float, policy: RepairPolicy
) -> tuple[History, Repair | None]:
    """Choose RELOAD (and note it) or RESTART; None if it is too early for another one."""
    if cause in RELOADABLE and _may_reload(history, cause, now, policy):
        recent = (*_recent(history.reloads, now, policy.reload_period), now)
        return repaired(replace(history, reloads=recent), Repair.RELOAD, now), Repair.RELOAD
    if cause in END_TO_END and mends_in(history, now, policy) > 0:
        return history, None
    return history, Repair.RESTART


def mends_in(history: History, now: float, policy: RepairPolicy) -> float:
    """Return in how many seconds a session without proof may be restarted again (0: now)."""
    restarts = history.repairs.count(Repair.RESTART)
    if restarts == 0:
        return 0.0
    # 2**63 is beyond every ceiling and keeps the float finite for absurd counts
    pause = min(LONGEST_PAUSE, policy.pause * 2.0 ** min(restarts - 1, 63))
    return max(0.0, history.mended + pause - now)


def _may_reload(history: History, cause: str, now: float, policy: RepairPolicy) -> bool:
    if cause in ONCE and Repair.RELOAD in history.repairs:
        return False
    return len(_recent(history.reloads, now, policy.reload_period)) < policy.reloads


def repaired(history: History, repair: Repair, now: float) -> History:
    """Note that a repair was begun."""
    return replace(history, repairs=(*history.repairs, repair), mended=now)


def may_free(history: History, now: float, policy: RepairPolicy) -> bool:
    """Tell whether a busy page is freed before it is loaded anew: not if that was no cure."""
    return history.freed is None or now - history.freed >= policy.reload_period


def take_over(history: History, now: float, policy: RepairPolicy) -> tuple[History, bool]:
    """Tell whether the login is taken back from another window once more, and note it."""
    recent = _recent(history.taken_over, now, TAKE_OVER_PERIOD)
    if len(recent) >= policy.take_overs:
        return history, False
    return repaired(replace(history, taken_over=(*recent, now)), Repair.TAKE_OVER, now), True


def failed(history: History, cause: str, now: float) -> History:
    """Note that an incarnation ended for this cause, and that a restart follows."""
    failures = history.failures + 1 if history.failed == cause else 1
    return repaired(replace(history, failures=failures, failed=cause), Repair.RESTART, now)


def wants_snapshot(history: History, policy: RepairPolicy) -> bool:
    """Tell whether the next launch is to be on a snapshot: once, when restarts did not help."""
    if history.snapshot_tried:
        return False
    hopeless = history.failed in DAMAGE and history.failures >= policy.snapshot_after
    return hopeless or history.failed == LOGIN_LOST


def well(history: History) -> History:
    """The session is proven to be connected: what was done for it is over."""
    return replace(history, outage=None, repairs=(), failures=0, failed=None, snapshot_tried=False)


def last_repair(history: History) -> Repair:
    """Return what was done last in the outage."""
    return history.repairs[-1] if history.repairs else Repair.NONE


def _recent(times: tuple[float, ...], now: float, period: float) -> tuple[float, ...]:
    return tuple(time for time in times if now - time < period)
