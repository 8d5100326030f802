"""The JSON shapes of a session's queue. Times as in api.schemas."""

from pydantic import BaseModel, ConfigDict, Field

from storage.messages import Priority


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class QueueQuery(BaseModel):
    """GET …/queue: in the order of sending, those after this position."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    after: int = Field(default=0, ge=0, le=2**53)
    limit: int = Field(default=100, ge=1, le=500)


class QueuePlaceOut(_Answer):
    """Where a message stands in its session's queue: 1 is next.

    It goes not before `earliest_at`, if the session is connected then; later if its number sends
    something else meanwhile. `bound_by` is what it waits for: minute, hour or day (the caps of its
    number), warm_up, pace, or send_at; null: nothing but its turn. `position` is null for more than
    10,000 before it, `earliest_at` where nobody can tell now.
    """

    position: int | None
    earliest_at: str | None
    bound_by: str | None


class QueuedOut(QueuePlaceOut):
    """A message that waits."""

    id: str
    chat: str
    kind: str
    priority: Priority
    send_at: str | None
    expires_at: str | None
    created_at: str


class QueueOut(_Answer):
    """A page of a queue of `depth` messages; `next_after` is the next page's, null on the last.

    `earliest_at` and `bound_by` are those of whatever would be accepted first now.
    """

    depth: int
    earliest_at: str | None
    bound_by: str | None
    messages: list[QueuedOut]
    next_after: int | None
