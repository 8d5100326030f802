"""The browser port: what a session actor may ask of a browser, and the facts a browser reports.

Pure: records, Protocols and errors only. All calls run on the browser loop, through the bridge.

    DriverError                  code, sentence
    ├── LaunchFailed             no browser came up
    │   ├── ChromiumMissing      no executable was found; it says which package to install
    │   ├── BundleMissing        the wa-js bundle or the adapter is not on the disk
    │   └── ProfileInUse         another live process owns the profile directory
    ├── CallTimedOut             no answer within the call's deadline; the page is presumed sick
    ├── PageGone                 the page crashed, navigated away under the call, or did not load
    │   └── PageUnreachable      the network did not give the page
    ├── ConnectionLost           the pipe to the browser closed
    ├── CopyFailed               the profile was not copied; the browser runs on, or is ending
    └── PageRefused              the page answered with an error: `code` is the adapter's code
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from actors.browser.happenings import Happening
from actors.browser.reading import Reader

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path


class DriverError(Exception):
    """Base of all browser failures; the text says what to do."""

    code: ClassVar[str] = "browser_failed"


class LaunchFailed(DriverError):  # noqa: N818 - the port speaks in domain words
    code = "launch_failed"


class ChromiumMissing(LaunchFailed):
    code = "chromium_missing"


class BundleMissing(LaunchFailed):
    code = "bundle_missing"


class ProfileInUse(LaunchFailed):
    code = "profile_in_use"


class CallTimedOut(DriverError):  # noqa: N818
    code = "call_timed_out"


class PageGone(DriverError):  # noqa: N818
    code = "page_gone"


class PageUnreachable(PageGone):
    """The network did not give the page; the text ends with Chromium's own code for it."""

    code = "unreachable"


class ConnectionLost(DriverError):  # noqa: N818
    code = "connection_lost"


class CopyFailed(DriverError):  # noqa: N818
    code = "copy_failed"


class PageRefused(DriverError):  # noqa: N818
    """The adapter answered {ok: false}; `reason` is its stable code, the text its message."""

    code = "page_refused"

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


# ---- facts: pushed by the browser, in order, from the browser loop ------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class BrowserExited:
    """The Chromium process ended or its pipe closed; sent once per browser, always."""

    pid: int
    returncode: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PageCrashed:
    """The renderer died (Inspector.targetCrashed); the browser itself may live on.

    Not told of one that `reload` has killed.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentChanged:
    """Another document took the page, ours or not: what was told before was of the one before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageLoaded:
    """The adapter runs in a new document and wa-js has found WhatsApp's modules.

    `missing` names the bindings that the adapter needs and did not find: features that can't work.
    `critical` is the part of them without which not even the state can be told: then nothing more
    will come from this document. Sent once a document, and again if the features that need a login
    look different once there is one.
    """

    whatsapp_version: str | None
    wajs_version: str
    missing: tuple[str, ...] = ()
    critical: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class QrIssued:
    """WhatsApp shows a (new) QR code; `text` is what a phone scans."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketChanged:
    """WhatsApp Web's own view of its connection; sent on each change and once after PageLoaded.

    `socket` is Socket.state (OPENING, PAIRING, UNPAIRED, UNPAIRED_IDLE, CONNECTED, TIMEOUT,
    CONFLICT, UNLAUNCHED, PROXYBLOCK, TOS_BLOCK, SMB_TOS_BLOCK, DEPRECATED_VERSION), `mode` is
    Stream.mode, `registered` whether a login is stored, `synced` whether the first sync is over
    and what is missing has been told, `me` the own jid (…@c.us) once known.
    """

    socket: str
    mode: str | None
    registered: bool
    synced: bool
    me: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedOut:
    """The login ended (by the phone, WhatsApp or our own logout); the page shows a QR code next."""

    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateRequired:
    """WhatsApp Web wants its page to be loaded again for a newer version (needs_update)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageReceived:
    """A contact's message arrived. `chat` and `sender` are jids, `sent_ms` the sender's clock.

    `kind` and `content` are those of storage.messages.
    """

    wa_id: str
    chat: str
    sender: str
    kind: str
    body: str
    sent_ms: int
    content: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AckChanged:
    """Own messages reached an ack: 1 server, 2 delivered, 3 read, 4 played, -1 refused."""

    wa_ids: tuple[str, ...]
    ack: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerHeard:
    """WhatsApp's server sent something that no other fact tells; at most once a second."""


BrowserFact = (
    BrowserExited
    | PageCrashed
    | DocumentChanged
    | PageLoaded
    | QrIssued
    | SocketChanged
    | LoggedOut
    | UpdateRequired
    | MessageReceived
    | AckChanged
    | ServerHeard
    | Happening
)


# ---- calls ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPaths:
    """The directories of one session, all below its own: made on launch, mode 0700."""

    profile: Path
    tmp: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A message to be handed over; `content` is that of storage.messages, by `kind`.

    Its `target` and `reply_to`, if it has them, are WhatsApp's names of other messages: {wa_id,
    chat, from_me, sender}. `media` is the decrypted file to send, for kinds that have one.
    """

    chat: str
    wa_id: str
    kind: str
    body: str
    content: Mapping[str, Any] = field(default_factory=dict)
    media: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SendResult:
    """`ack` is at least 1: WhatsApp's server has it."""

    wa_id: str
    ack: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PageView:
    """What a page says of itself: WhatsApp's socket and stream as in SocketChanged.

    `unacked_seconds` is how long the oldest own message that this page handed over has been without
    an ack, not counting the time for the upload of its file; None if all have theirs.
    """

    socket: str
    mode: str | None
    unacked_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteResult:
    """`ack` is at least 1: WhatsApp's server had the note. `deleted` if nothing is left of it.

    `old` if it had its ack before it was asked for this time: that says nothing of now.
    """

    ack: int
    deleted: bool
    old: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StopReport:
    """How a browser ended: `forced` if it had to be killed; `survivors` is empty or a defect."""

    forced: bool
    returncode: int | None
    seconds: float
    survivors: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyReport:
    """What was copied of a profile, and for how long the browser stood still meanwhile."""

    pause_seconds: float
    files: int
    bytes: int


class Browser(Reader, Protocol):
    """One running Chromium with one WhatsApp page, owned by one incarnation of one session."""

    @property
    def pid(self) -> int: ...

    async def open(self) -> None:
        """Navigate to WhatsApp Web with wa-js and the adapter installed; facts follow.

        Returns when the document has loaded. Raises CallTimedOut, PageGone, ConnectionLost.
        """

    async def send(self, message: Outgoing, *, again: bool = False) -> SendResult:
        """Send one message under its id and wait for WhatsApp's ack.

        One that WhatsApp Web has already is not sent a second time. With `again` (it may have been
        handed over before) it is also looked for among the messages that are not loaded.

        Raises PageRefused with reason `not_on_whatsapp`, `invalid_jid`, `not_connected`,
        `binding_missing`, `unsupported_kind`, `not_permitted`, `target_not_found`,
        `media_unreadable`, `media_too_large` or `send_refused` when it was certainly not handed
        over; any other DriverError leaves its fate unknown.
        """

    async def lookup_ack(self, *, chat: str, wa_id: str) -> int | None:
        """Return the ack of an own message that WhatsApp Web knows, None if it does not know it."""

    async def beat(self) -> None:
        """Ask the browser for a sign of life. Raises CallTimedOut, ConnectionLost."""

    async def look(self) -> PageView | None:
        """Ask the page for a sign of life; None if it lives but the adapter does not run (yet).

        Raises CallTimedOut, PageGone, ConnectionLost.
        """

    async def free(self) -> None:
        """End the JavaScript that the page is busy with; a SocketChanged follows, as after a load.

        Raises CallTimedOut if the page gives no sign of life even then, PageGone, ConnectionLost.
        """

    async def reload(self, *, fresh: bool) -> None:
        """Load WhatsApp Web anew; facts follow, first of them DocumentChanged.

        `fresh` kills the page's processes first: one that hangs can't be loaded anew. Raises what
        `open` raises.
        """

    async def send_note(self, *, wa_id: str, body: str, again: bool = False) -> NoteResult:
        """Write a text to ourselves under the given id, wait for its ack, delete it again.

        No fact tells of it. With `again` it may have been handed over before. All own texts with
        this body are deleted from the chat. Raises PageRefused with reason `send_refused` when the
        server refused it, `not_connected`, `binding_missing` or `note_impossible` when it was not
        handed over; other DriverErrors as ever.
        """

    async def take_over(self) -> None:
        """Claim the login back from another window (socket CONFLICT); SocketChanged follows."""

    async def refresh_qr(self) -> None:
        """Ask WhatsApp Web for a new QR code."""

    async def logout(self) -> None:
        """Unlink this device; LoggedOut follows."""

    async def collect_garbage(self) -> None:
        """Let the page give back what it does not need any more; it stands still meanwhile.

        Returns when that is done. Raises CallTimedOut, PageGone, ConnectionLost.
        """

    async def freeze_copy(self, target: Path) -> CopyReport:
        """Stop every process of the browser, copy what matters of its profile, let it go on.

        `target` is replaced. Calls that wait for the page are not charged for the pause. Raises
        CopyFailed; then nothing is left of `target`, and the browser runs.
        """

    async def stop(self, deadline: float) -> StopReport:
        """Close; after `deadline` seconds kill the whole group; prove that nothing is left.

        Idempotent; a later call with less time shortens the first one's.
        """

    def kill(self) -> None:
        """SIGKILL the whole group now; BrowserExited follows. Safe from any thread."""


class BrowserDriver(Protocol):
    """Makes browsers."""

    async def launch(
        self, session_id: str, paths: SessionPaths, sink: Callable[[BrowserFact], None]
    ) -> Browser:
        """Start Chromium on the session's profile and connect; facts go to `sink` from then on.

        Raises LaunchFailed and its kin. If it raises, no process is left.
        """

    def missing(self) -> Sequence[DriverError]:
        """Return what would make any launch fail (no Chromium, no bundle), for start-up checks."""
