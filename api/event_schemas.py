"""The payloads of all events, by type and version: what users may rely on.

Within a version no member is taken away or changes its meaning; new ones may come, so readers pass
over what they don't know. An event keeps the version that it was written with. docs/events.md is
made from this table (`python -m api.event_docs`), and a test holds it to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from api.event_payloads import (
    CallReceived,
    GroupParticipants,
    Health,
    Limiter,
    Memory,
    MessageAnswered,
    MessageChanged,
    MessageEnded,
    MessageMedia,
    MessageMoved,
    MessageReceived,
    Qr,
    SessionActive,
    SessionCreated,
    SessionDeleted,
    SessionPrimary,
    SessionStatusChanged,
    Storage,
)
from storage.events import EventType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSchema:
    """One version of one type: when it is told, and what its payload holds."""

    told: str
    payload: type[BaseModel]


def _one(told: str, payload: type[BaseModel]) -> Mapping[int, EventSchema]:
    return MappingProxyType({1: EventSchema(told=told, payload=payload)})


EVENTS: Final[Mapping[EventType, Mapping[int, EventSchema]]] = MappingProxyType(
    {
        EventType.SESSION_CREATED: _one("A session was made.", SessionCreated),
        EventType.SESSION_STATUS: _one("Its public status changed.", SessionStatusChanged),
        EventType.SESSION_PRIMARY: _one(
            "It became the primary number, or is it no longer.", SessionPrimary
        ),
        EventType.SESSION_ACTIVE: _one("It was put out of use, or back into use.", SessionActive),
        EventType.SESSION_DELETED: _one("It was deleted.", SessionDeleted),
        EventType.SESSION_HEALTH: _one("A disconnection was found, and ended.", Health),
        EventType.SESSION_QR: _one("A QR window was opened, refused or closed.", Qr),
        EventType.MESSAGE_ACCEPTED: _one("A message was accepted for sending.", MessageMoved),
        EventType.MESSAGE_SENT: _one("WhatsApp has acknowledged it.", MessageMoved),
        EventType.MESSAGE_DELIVERED: _one("It has reached the recipient's phone.", MessageMoved),
        EventType.MESSAGE_READ: _one("The recipient has read it.", MessageMoved),
        EventType.MESSAGE_PLAYED: _one("The recipient has played it.", MessageMoved),
        EventType.MESSAGE_FAILED: _one("It will not be sent.", MessageEnded),
        EventType.MESSAGE_EXPIRED: _one("Its time was over before its turn.", MessageMoved),
        EventType.MESSAGE_CANCELLED: _one("It was cancelled before its turn.", MessageMoved),
        EventType.MESSAGE_UNKNOWN: _one(
            "It was handed over, and what became of it is not known yet.", MessageEnded
        ),
        EventType.MESSAGE_RECEIVED: _one("A message came in.", MessageReceived),
        EventType.MESSAGE_MEDIA: _one(
            "The file of a message that came in is there, or never will be.", MessageMedia
        ),
        EventType.MESSAGE_EDITED: _one("Its text was edited.", MessageChanged),
        EventType.MESSAGE_REVOKED: _one("It was deleted for everyone.", MessageChanged),
        EventType.MESSAGE_REACTION: _one(
            "Somebody reacted to it, or took that back.", MessageAnswered
        ),
        EventType.MESSAGE_POLL_VOTE: _one(
            "Somebody voted in it, or took that back.", MessageAnswered
        ),
        EventType.GROUP_PARTICIPANTS: _one(
            "Somebody came into a group, left it, or got other rights in it.", GroupParticipants
        ),
        EventType.CALL_RECEIVED: _one("Somebody called.", CallReceived),
        EventType.STORAGE: _one("What was found and done about the disk.", Storage),
        EventType.MEMORY: _one("What was found and done about memory.", Memory),
        EventType.LIMITER: _one("What the limiter found and did.", Limiter),
    }
)
"""Every type has an entry, which a test holds it to."""


def payload_problems(kind: str, version: int, payload: Mapping[str, Any]) -> str | None:
    """Return what is wrong with a payload by its schema, None if nothing is.

    Raises ValueError if there is no such type or version.
    """
    schema = EVENTS[EventType(kind)].get(version)
    if schema is None:
        raise ValueError(f"{kind} has no version {version}")
    try:
        schema.payload.model_validate(dict(payload))
    except ValueError as error:
        return str(error)
    return None
