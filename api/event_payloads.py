"""What events hold: the payload of each type, and of each of its actions.

Times are milliseconds since the epoch (`…_ms`) or durations in seconds; sizes are bytes. Which type
has which payload says api.event_schemas.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel

from storage.store import Provider, SessionStatus

Ulid = Annotated[str, Field(pattern=r"^[0-7][0-9A-HJKMNP-TV-Z]{25}$")]
Bytes = Annotated[int, Field(ge=0)]
Amount = Annotated[int, Field(ge=0)]
Duration = Annotated[float, Field(ge=0)]


class _Payload(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)


# ---- changes of sessions -------------------------------------------------------------------------


class SessionCreated(_Payload):
    """A session was made; how its number is reached."""

    provider: Annotated[Provider, Field(strict=False)]


class SessionStatusChanged(_Payload):
    """Its public status, why, and the status before (`from`)."""

    status: Annotated[SessionStatus, Field(strict=False)]
    reason: str
    detail: str | None
    before: Annotated[SessionStatus, Field(strict=False, alias="from")]


class SessionPrimary(_Payload):
    """It became, or is no longer, its workspace's primary number."""

    is_primary: bool


class SessionActive(_Payload):
    """It was put into use again, or out of use."""

    is_active: bool


class SessionDeleted(_Payload):
    """It was deleted; its messages stay."""


# ---- messages ------------------------------------------------------------------------------------


class _Message(_Payload):
    message_id: Ulid
    chat_id: Ulid
    kind: str


class MessageMoved(_Message):
    """An outbound message reached this state."""


class MessageEnded(_Message):
    """An outbound message failed, or may or may not have been sent; `code` says why."""

    code: str


class MessageReceived(_Message):
    """A message came in; `contact_id` is null in chats that are with no single person."""

    contact_id: Ulid | None


class MessageMedia(_Message):
    """The file of a message that came in is there (`code` null), or never will be (`code`: why)."""

    code: str | None


class MessageChanged(_Message):
    """A message in either direction was changed by who wrote it; read it anew."""


class MessageAnswered(_Message):
    """Somebody (`contact_id`) reacted to a message or voted in a poll, or took that back."""

    contact_id: Ulid
    removed: bool


class GroupParticipants(_Payload):
    """Who came into a group, left it or got rights in it; `by_contact_id` null: not known by whom.

    Other actions of WhatsApp's may come.
    """

    chat_id: Ulid
    action: str
    contact_ids: list[Ulid]
    by_contact_id: Ulid | None


class CallReceived(_Payload):
    """Somebody called; `rejected` by wafleet."""

    contact_id: Ulid | None
    video: bool
    group: bool
    rejected: bool


# ---- what was found and done ---------------------------------------------------------------------


class _Told(_Payload):
    """`action` is what happened, `cause` why."""

    cause: str


class HealthLost(_Told):
    """A disconnection was found; `seconds` since the last sign of life on this rung."""

    action: Literal["lost"]
    rung: Literal["process", "cdp", "page", "socket", "end_to_end"]
    seconds: Duration


class HealthOver(_Told):
    """The disconnection is over, or nobody waits for its end any more; the last repair."""

    action: Literal["recovered", "ended"]
    rung: Literal["process", "cdp", "page", "socket", "end_to_end"]
    seconds: Duration
    repair: Literal["none", "free", "take_over", "reload", "restart", "snapshot"]
    detected_seconds: Duration


class QrOpened(_Payload):
    """A QR window was opened: its number in the period, and how many are allowed in it."""

    action: Literal["opened"]
    window: Amount
    limit: Amount


class QrRefused(_Told):
    """A QR window was refused: for how long, and when the next one is allowed."""

    action: Literal["refused"]
    seconds: Duration
    next_ms: int
    limit: Amount


class QrClosed(_Told):
    """A QR window closed: how long it was open, how many codes were shown."""

    action: Literal["closed"]
    seconds: Duration
    codes: Amount


class StorageCleaned(_Told):
    """Caches of a profile were deleted."""

    action: Literal["cleaned"]
    before: Bytes
    after: Bytes
    files: Amount
    left: Amount
    seconds: Duration


class StorageRecycle(_Told):
    """A restart is under way, because caches filled the profile."""

    action: Literal["recycle"]


class StorageOversized(_Payload):
    """The profile is above the limit in what is never deleted (`kept`)."""

    action: Literal["oversized"]
    before: Bytes
    kept: Bytes
    limit: Bytes


class StorageFits(_Payload):
    """The profile is within the limit again."""

    action: Literal["fits"]
    before: Bytes
    limit: Bytes


class StorageOrphanRemoved(_Payload):
    """The directory of a session that was deleted was removed; `left` could not be."""

    action: Literal["orphan_removed"]
    before: Bytes
    left: Amount


class StorageSpace(_Told):
    """The free space crossed a mark; `cause` is what held for `seconds` before. Of no session."""

    action: Literal["disk_low", "disk_full", "disk_recovered"]
    free: Bytes
    seconds: Duration


class StorageRestored(_Told):
    """A snapshot took the database's place: what was stored in `seconds` is gone. Of no session."""

    action: Literal["database_restored"]
    seconds: Duration


class StorageAdopted(_Told):
    """Archives were taken in that are newer than the database."""

    action: Literal["archives_adopted"]
    count: Amount


class MemoryBegun(_Told):
    """Something is done about a browser's memory (`before`)."""

    action: Literal["collect", "recycle", "kill"]
    before: Bytes


class MemoryCollected(_Told):
    """Garbage was collected, or was not (`code`)."""

    action: Literal["collected", "collect_failed"]
    before: Bytes
    after: Bytes
    seconds: Duration
    code: str | None = None


class MemoryBack(_Told):
    """The session is back from a restart or a kill, or is not (`after` null)."""

    action: Literal["recycled", "recycle_unfinished", "recovered", "not_recovered"]
    before: Bytes
    after: Bytes | None
    seconds: Duration


class LimiterCounted(_Told):
    """What was granted before the machine's boot counts as granted after it."""

    action: Literal["counted_anew"]
    count: Amount


class LimiterCapped(_Told):
    """The number has reached a cap, `cause`; the next is allowed in `seconds`, at `next_ms`."""

    action: Literal["capped"]
    seconds: Duration
    next_ms: int


class Health(RootModel[HealthLost | HealthOver]):
    """What `session.health` tells."""

    root: HealthLost | HealthOver = Field(discriminator="action")


class Qr(RootModel[QrOpened | QrRefused | QrClosed]):
    """What `session.qr` tells."""

    root: QrOpened | QrRefused | QrClosed = Field(discriminator="action")


_Storage = (
    StorageCleaned
    | StorageRecycle
    | StorageOversized
    | StorageFits
    | StorageOrphanRemoved
    | StorageSpace
    | StorageRestored
    | StorageAdopted
)


class Storage(RootModel[_Storage]):
    """What `storage` tells."""

    root: _Storage = Field(discriminator="action")


class Memory(RootModel[MemoryBegun | MemoryCollected | MemoryBack]):
    """What `memory` tells."""

    root: MemoryBegun | MemoryCollected | MemoryBack = Field(discriminator="action")


class Limiter(RootModel[LimiterCounted | LimiterCapped]):
    """What `limiter` tells."""

    root: LimiterCounted | LimiterCapped = Field(discriminator="action")
