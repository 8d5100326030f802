"""What a request carries through the handlers: its caller, and the trail for the access log."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

from api.keys import Caller


@dataclass(slots=True)
class Trail:
    """What the access log will say of the request beyond who and what.

    Handlers fill it in as they learn it. `detail` takes public ids and words of ours, nothing that
    the client wrote.
    """

    session_id: str | None = None
    detail: dict[str, str] = field(default_factory=dict)


CALLER: Final = web.RequestKey("caller", Caller)
TRAIL: Final = web.RequestKey("trail", Trail)
