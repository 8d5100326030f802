"""The wire protocol between page and server: JSON frames over one WebSocket. Pure.

Client to server: each frame has ``op`` and the fields of the class below; one that expects an
answer carries ``rid``, and the answer is ``{"re": rid, ...}`` (with ``error`` when refused).

Server to client:

* ``qr`` {ref, ttl_ms}, ``qr_idle``: an unpaired page shows a code, or its reload button.
* ``paired`` {device, secret, wid, lid, name}: the phone linked this page; it must store the
  device and send ``login``.
* ``login_ok`` {wid, lid, device, name, chats, people, offline}: chats come with their history.
* ``login_failed`` {reason}: the device is not linked any more.
* ``offline_done`` {count}: everything that was queued has been sent.
* ``ack`` {id, t, ack} and ``nack`` {id, error}: the server took, or refused, a sent message.
* ``receipt`` {stanza, chat, id, ack, participant, t, remaining} and ``message`` {stanza, msg}:
  stay queued until the client confirms with ``confirm``.
* ``edited`` {field, text, at_ms}, ``revoked``, ``reacted`` {emoji, at_ms}, ``voted`` {options,
  at_ms}, each with {stanza, id, chat, from_me, author, sender}: somebody did this to a message;
  ``members`` {stanza, chat, action, by, members, participants}. They stay queued likewise.
* ``call`` {id, from, video, t}: rings on connected pages only.
* ``logged_out`` {reason, code}, ``conflict``, ``blocked`` {state}, ``needs_update``,
  ``hang`` {duration_ms}, ``grow`` {mb_per_s, limit_mb}, ``pong`` {n}.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from simulator.decode import decode
from simulator.errors import InvalidRequestError, WireError

if TYPE_CHECKING:
    from simulator.entities import Frame

C = TypeVar("C")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """First frame of an unpaired page; ``keys`` are what its QR codes will show."""

    keys: list[str]
    version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """First frame of a page that holds a device, or the frame after ``paired``."""

    device: str
    secret: str
    version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping:
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshQr:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkCode:
    """Ask for an 8-character code to type on the phone of this number; answered {code}."""

    rid: int
    phone: str
    push: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """Send a message; ``id`` is the client's, so a second one with the same id is a duplicate."""

    id: str
    chat: str
    msg: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirm:
    """The client has stored what these stanzas brought."""

    stanzas: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exists:
    """Is this address on WhatsApp? Answered {exists, pn, lid, name, chat}."""

    rid: int
    wid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The client marked the chat as read."""

    chat: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    chat: str
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoke:
    """Delete an own message for everyone."""

    rid: int
    id: str
    chat: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """Delete a message for this account alone, on all its devices."""

    id: str
    chat: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    rid: int
    id: str
    chat: str
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class React:
    rid: int
    id: str
    chat: str
    reaction: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """All options of the poll that the account chooses now."""

    rid: int
    id: str
    chat: str
    options: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaPut:
    rid: int
    filehash: str
    data: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaGet:
    rid: int
    filehash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallReject:
    id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Logout:
    reason: str = field(default="user_initiated")


ClientFrame = (
    Hello
    | Login
    | Ping
    | RefreshQr
    | LinkCode
    | Send
    | Confirm
    | Exists
    | Seen
    | Presence
    | Revoke
    | Delete
    | Edit
    | React
    | Vote
    | MediaPut
    | MediaGet
    | CallReject
    | Logout
)

CLIENT_OPS: dict[str, type[Any]] = {
    "hello": Hello,
    "login": Login,
    "ping": Ping,
    "refresh_qr": RefreshQr,
    "link_code": LinkCode,
    "send": Send,
    "confirm": Confirm,
    "exists": Exists,
    "seen": Seen,
    "presence": Presence,
    "revoke": Revoke,
    "delete": Delete,
    "edit": Edit,
    "react": React,
    "vote": Vote,
    "media_put": MediaPut,
    "media_get": MediaGet,
    "call_reject": CallReject,
    "logout": Logout,
}


def parse(text: str) -> ClientFrame:
    """Read one client frame; WireError when it is not one."""
    try:
        data = json.loads(text)
    except ValueError as error:
        raise WireError("bad_json", "A frame must be a JSON object.") from error
    if not isinstance(data, dict):
        raise WireError("bad_json", "A frame must be a JSON object.")
    op = data.pop("op", None)
    if not isinstance(op, str) or op not in CLIENT_OPS:
        raise WireError("unknown_op", f"The operation {op!r} does not exist.")
    try:
        frame: ClientFrame = decode(CLIENT_OPS[op], data)
    except InvalidRequestError as error:
        raise WireError(error.code, f"{op}: {error.message}") from error
    return frame


def answer(rid: int, **fields: object) -> Frame:
    """The answer to a frame that carried this ``rid``."""
    return {"re": rid, **fields}
