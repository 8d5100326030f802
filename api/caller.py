"""What a request carries through the handlers: its caller, and the trail for the access log."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from aiohttp import web

from api.keys import Caller

if TYPE_CHECKING:
    from collections.abc import Callable

    from storage.audit import NewAccess


@dataclass(slots=True)
class Trail:
    """What the access log will say of the request beyond who and what.

    Handlers fill it in as they learn it. `detail` takes public ids and words of ours, nothing that
    the client wrote. `entry` makes the entry of a success, for a handler that has it written
    together with what it does, and then sets `written`.
    """

    session_id: str | None = None
    detail: dict[str, str] = field(default_factory=dict)
    entry: Callable[[], NewAccess] | None = None
    written: bool = False


CALLER: Final = web.RequestKey("caller", Caller)
TRAIL: Final = web.RequestKey("trail", Trail)
