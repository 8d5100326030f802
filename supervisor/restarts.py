"""When a child that crashed is started again: OTP's intensity and period, with backoff. Pure.

Times are seconds of a monotonic clock; the random source is passed in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartPolicy:
    """At most `intensity` crashes in any `period` seconds; the next one is a breach.

    Before each restart the child waits a random time between 0 and first * 2^(crashes - 1), at most
    `longest` (full jitter). Its crashes are forgotten after `stable_after` seconds connected.
    """

    intensity: int
    period: float
    first: float
    longest: float
    stable_after: float


def note_crash(crashes: deque[float], now: float, policy: RestartPolicy) -> bool:
    """Add a crash and forget those older than the period; True if that is a breach."""
    crashes.append(now)
    while crashes and crashes[0] <= now - policy.period:
        crashes.popleft()
    return len(crashes) > policy.intensity


def backoff(crashes: int, policy: RestartPolicy, uniform: Callable[[float, float], float]) -> float:
    """Return how many seconds to wait before the restart that follows the n-th crash (n ≥ 1)."""
    # 2**63 is beyond every ceiling and keeps the float finite for absurd counts
    ceiling = min(policy.longest, policy.first * 2.0 ** min(crashes - 1, 63))
    return uniform(0.0, ceiling)


def is_stable(connected_since: float | None, now: float, policy: RestartPolicy) -> bool:
    """Tell whether a child that ends now had been connected long enough to be forgiven."""
    return connected_since is not None and now - connected_since >= policy.stable_after


@dataclass(frozen=True, slots=True, kw_only=True)
class FusePolicy:
    """More than `intensity` crashes in `period` seconds, fleet-wide, is not one bad session."""

    intensity: int
    period: float


def fuse_opens(crashes: deque[float], now: float, policy: FusePolicy) -> bool:
    """Add a crash of any child; True while starting children should wait (running ones go on)."""
    crashes.append(now)
    return fuse_is_open(crashes, now, policy)


def fuse_is_open(crashes: deque[float], now: float, policy: FusePolicy) -> bool:
    """Tell whether starting children should wait at this moment."""
    # Reckoned as fuse_closes_in does: otherwise rounding could leave it open with nothing to wait.
    while crashes and crashes[0] + policy.period - now <= 0:
        crashes.popleft()
    return len(crashes) > policy.intensity


def fuse_closes_in(crashes: deque[float], now: float, policy: FusePolicy) -> float:
    """Return in how many seconds an open fuse closes if nothing else crashes (0: closed)."""
    if not fuse_is_open(crashes, now, policy):
        return 0.0
    return crashes[len(crashes) - policy.intensity - 1] + policy.period - now
