"""What the memory and the janitor actor say to a session, by way of the root (`ToSession`).

What is said to them is in actors.service_messages.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectGarbage:
    """The memory actor: let the page collect its garbage now; answered with CollectionEnded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KillBrowser:
    """The memory actor: kill the browser's group at once; it is a crash, and is treated as one."""

    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteStorage:
    """The janitor: show this beside the session's state, or nothing any more (None)."""

    note: str | None


CareMessage = CollectGarbage | KillBrowser | NoteStorage
