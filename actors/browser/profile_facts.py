"""What is found, and done, in the directories of sessions. Pure records; sizes are bytes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileSize:
    """Bytes that a session takes on the disk: what must be kept, and what may be deleted.

    `scratch` is what lies in its TMPDIR; it is waste once no browser runs.
    """

    kept: int = 0
    waste: int = 0
    scratch: int = 0
    files: int = 0

    @property
    def total(self) -> int:
        return self.kept + self.waste + self.scratch

    @property
    def disposable(self) -> int:
        return self.waste + self.scratch


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """What was deleted; `left` counts what could not be."""

    files: int = 0
    bytes: int = 0
    left: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tidied:
    """A profile before and after it was cleaned, and how long that took."""

    before: ProfileSize
    after: ProfileSize
    removed: Removed
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """A session's directory; `touched` is when something was last made or removed in it (s)."""

    session_id: str
    touched: float
