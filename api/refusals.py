"""What the fleet refuses, as errors of the API; their codes are in the table of api.errors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from actors.limiter_messages import QrLimited
from actors.messages import CapacityReached
from api.errors import ApiError, Problem, fleet_down, from_store
from api.times import rfc3339
from storage.store import SessionNotFound

if TYPE_CHECKING:
    from actors.messages import Refused

CAPACITY_REACHED: Final = "capacity_reached"
_FLEET_GONE: Final = frozenset({"fleet_down", "shutting_down"})


def not_permitted(code: str, status: str, reason: str, detail: str) -> ApiError:
    """Return the error for what the session's state does not allow; the detail says what to do."""
    return ApiError(
        Problem(
            status=409,
            code=code,
            title="The session's state does not allow it",
            detail=detail,
            members={"session_status": status, "session_reason": reason},
        )
    )


def refused(answer: Refused) -> ApiError:
    """Return the error for a command that the fleet refused."""
    if answer.code in _FLEET_GONE:
        return fleet_down()
    if answer.code == SessionNotFound.code:
        return ApiError(from_store(SessionNotFound()))
    if answer.code == "service_down":
        return ApiError(
            Problem(
                status=503,
                code=answer.code,
                title="A part of wafleet is being started again",
                detail=answer.message,
                headers={"Retry-After": "1"},
            )
        )
    if isinstance(answer, QrLimited):
        return _qr_limited(answer)
    members = {}
    if isinstance(answer, CapacityReached):
        members = {"limit": answer.limit, "used": answer.used}
    return ApiError(
        Problem(
            status=409,
            code=answer.code,
            title="The fleet refused the command",
            detail=answer.message,
            members=members,
        )
    )


def _qr_limited(answer: QrLimited) -> ApiError:
    return ApiError(
        Problem(
            status=429,
            code=answer.code,
            title="Too many QR codes",
            detail=answer.message,
            members={"next_at": rfc3339(answer.next_ms), "limit": answer.most},
            headers={"Retry-After": str(max(1, math.ceil(answer.seconds)))},
        )
    )
