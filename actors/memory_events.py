"""What the memory plan hears and says, and what it remembers. Pure data.

Times are seconds of a monotonic clock, sizes bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


class Cause(StrEnum):
    """Why something is done about a session's memory."""

    SOFT = "soft_limit"
    HARD = "hard_limit"
    KILL = "kill_limit"
    TOTAL = "total_limit"
    AGE = "max_age"


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryRules:
    """Limits of one session's memory, and how patient to be.

    `total` is the part of all memory that may be used. A session is collected at most once in
    `collect_pause`, and what that brought is judged `settle` later. A browser is not restarted for
    its memory within `recycle_pause` of its start, nor one for the total within `total_pause` of
    the last one. One that is above the hard limit for longer than `patience` is restarted whatever
    it is doing. `max_age` None restarts none for its age; a restart for age waits for `quiet`
    seconds without traffic. After `recovery` a session that has not come back is not waited for.
    """

    soft: int
    hard: int
    kill: int
    total: float = 0.9
    collect_pause: float = 60.0
    settle: float = 1.0
    recycle_pause: float = 300.0
    total_pause: float = 60.0
    patience: float = 60.0
    max_age: float | None = None
    quiet: float = 30.0
    recovery: float = 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What one session takes; `age` is its browser's, `connected` whether it is of use."""

    incarnation: int
    memory: int
    age: float
    connected: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """A collection that was begun; `ended` and after how many seconds, `failed` with which code.

    `judged` once a sample has shown, and it was told, what it brought.
    """

    cause: Cause
    before: int
    began: float
    ended: float | None = None
    seconds: float = 0.0
    failed: str | None = None
    judged: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What is remembered of one life of a session; a new life starts anew.

    `ripe_age` is its own, jittered maximum age, `over` since when it has been above the hard limit,
    `collection` the last one, `asked` when a restart was last asked for.
    """

    incarnation: int
    ripe_age: float | None = None
    over: float | None = None
    collection: Collection | None = None
    asked: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A restart or a kill that a session has yet to come back from.

    `accepted` False: the restart is asked for, and has not begun.
    """

    cause: Cause
    incarnation: int
    before: int
    began: float
    accepted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What it forgets in a crash costs a collection or a pause, and no session anything.

    `restarting` is the one session that is being restarted for us, `killed` are those that were
    killed. `tight` is since when all memory is nearly used, `relieved` when a restart for that was
    last over.
    """

    watches: Mapping[str, Watch] = field(default_factory=dict)
    restarting: tuple[str, Pending] | None = None
    killed: Mapping[str, Pending] = field(default_factory=dict)
    tight: float | None = None
    relieved: float | None = None


# ---- events --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """All browsers were looked at. `used` is how much of `limit` is used by all there is."""

    uses: Mapping[str, Use]
    used: int
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionOver:
    """A session's page has collected, or could not (`failed`: a code)."""

    session_id: str
    incarnation: int
    seconds: float
    failed: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecycleAccepted:
    """The restart that was asked for has begun."""

    session_id: str
    incarnation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RecycleRefused:
    """It has not; ask again after the next sample, if it is still wanted."""

    session_id: str
    incarnation: int


MemoryEvent = Sampled | CollectionOver | RecycleAccepted | RecycleRefused


# ---- actions -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Collect:
    """Let the session's page collect its garbage; answer with CollectionOver."""

    session_id: str
    incarnation: int
    cause: Cause


@dataclass(frozen=True, slots=True, kw_only=True)
class LookSoon:
    """Take a sample in so many seconds, not only when the next one is due."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """Ask for a planned restart; answer with RecycleAccepted or RecycleRefused.

    `quiet` None: whatever the session is doing; else only without a message on its way, and after
    so many seconds without traffic.
    """

    session_id: str
    incarnation: int
    cause: Cause
    quiet: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """Kill the browser's whole group; the session starts again as after a crash."""

    session_id: str
    incarnation: int
    memory: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tell:
    """Write a `memory` event."""

    session_id: str
    payload: Mapping[str, Any]


MemoryAction = Collect | LookSoon | Restart | Kill | Tell
