"""Faults on purpose: a registry of what is broken right now, and for whom. Pure.

A fault names one account (``number``) or, without a number, everything. *Lasting* faults stay
until they are deleted; the others happen once, at the moment they are set. Missing here on
purpose: a QR that is never scanned (just do not scan it) and a renderer crash (a page cannot
crash itself; drive ``Page.crash`` or ``chrome://crash`` from the browser's side).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from simulator.decode import decode
from simulator.errors import InvalidRequestError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

P = TypeVar("P")


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Every frame of a connection takes ``ms`` longer, each way."""

    ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DropAcks:
    """Messages are taken and delivered, but acks up to and including the listed are lost."""

    levels: list[int] = field(default_factory=lambda: [1, 2, 3])


@dataclass(frozen=True, slots=True, kw_only=True)
class SilentSocket:
    """Frames vanish both ways while the sockets stay open.

    By default only the connections that are open now; ``new_connections`` includes later ones.
    """

    new_connections: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectSends:
    """The server refuses sent messages with this result, as the page will name it."""

    error: str = "ERROR_UNKNOWN"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ban:
    """The account is blocked: open pages are told, later logins are refused."""

    state: str = "TOS_BLOCK"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeprecatedVersion:
    """The page's version is too old to log in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingModule:
    """Pages served from now on lack the module ``name``."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowPage:
    """The HTML is answered ``ms`` milliseconds late."""

    ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RefuseConnections:
    """New WebSockets are refused with HTTP 503; open ones stay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disconnect:
    """The server closes the sockets once; the pages may reconnect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteLogout:
    """The phone logs every linked device out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConflictNow:
    """Another window took the session over; the page may take it back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedsUpdate:
    """The page is told that a newer version exists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageHang:
    """The page's main thread spins for ``ms``, or for ever when 0."""

    ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryGrowth:
    """The page keeps allocating ``mb_per_s`` until ``limit_mb`` or until the page is gone."""

    mb_per_s: float
    limit_mb: int = 1024


@dataclass(frozen=True, slots=True)
class FaultSpec:
    """What a kind takes, whether it lasts, and whether it can be limited to one number."""

    params: type[Any]
    lasting: bool
    per_number: bool = True


SPECS: Mapping[str, FaultSpec] = {
    "latency": FaultSpec(Latency, lasting=True),
    "drop_acks": FaultSpec(DropAcks, lasting=True),
    "silent_socket": FaultSpec(SilentSocket, lasting=True),
    "reject_sends": FaultSpec(RejectSends, lasting=True),
    "ban": FaultSpec(Ban, lasting=True),
    "deprecated_version": FaultSpec(DeprecatedVersion, lasting=True),
    "missing_module": FaultSpec(MissingModule, lasting=True, per_number=False),
    "slow_page": FaultSpec(SlowPage, lasting=True, per_number=False),
    "refuse_connections": FaultSpec(RefuseConnections, lasting=True, per_number=False),
    "disconnect": FaultSpec(Disconnect, lasting=False),
    "logout": FaultSpec(RemoteLogout, lasting=False),
    "conflict": FaultSpec(ConflictNow, lasting=False),
    "needs_update": FaultSpec(NeedsUpdate, lasting=False),
    "page_hang": FaultSpec(PageHang, lasting=False),
    "memory_growth": FaultSpec(MemoryGrowth, lasting=False),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault as it was set; ``number`` None means everyone."""

    id: str
    kind: str
    number: str | None
    params: Any
    lasting: bool

    def describe(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "kind": self.kind,
            "number": self.number,
            "lasting": self.lasting,
            **asdict(self.params),
        }


@dataclass(slots=True)
class Faults:
    """The lasting faults that are in force, oldest first."""

    active: dict[str, Fault] = field(default_factory=dict)
    _count: int = 0

    def set(self, kind: str, number: str | None, params: Mapping[str, Any]) -> Fault:
        """Check a fault and, when it lasts, put it in force; else InvalidRequestError."""
        spec = SPECS.get(kind)
        if spec is None:
            known = ", ".join(sorted(SPECS))
            raise InvalidRequestError("fault_unknown", f"No fault {kind!r}; there are: {known}.")
        if number is not None and not spec.per_number:
            raise InvalidRequestError(
                "fault_is_global", f"{kind} applies to all; leave number out."
            )
        self._count += 1
        decoded = decode(spec.params, dict(params))
        fault = Fault(f"fault-{self._count}", kind, number, decoded, spec.lasting)
        if fault.lasting:
            self.active[fault.id] = fault
        return fault

    def clear(self, fault_id: str) -> Fault:
        if fault_id not in self.active:
            raise NotFoundError("fault_not_set", f"No fault {fault_id} is in force.")
        return self.active.pop(fault_id)

    def find(self, params: type[P], number: str | None = None) -> P | None:
        """The newest fault of this kind that applies to ``number``."""
        return next(self._matching(params, number), None)

    def all(self, params: type[P], number: str | None = None) -> list[P]:
        return list(self._matching(params, number))

    def _matching(self, params: type[P], number: str | None) -> Iterator[P]:
        return (
            f.params
            for f in reversed(self.active.values())
            if isinstance(f.params, params) and applies(f, number)
        )


def applies(fault: Fault, number: str | None) -> bool:
    """Whether a fault concerns a connection of this number (None: not logged in yet)."""
    return fault.number is None or fault.number == number
