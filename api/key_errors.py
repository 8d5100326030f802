"""The problems of keys: those that are none (401), and those that may not do this (403).

The codes stand in the table of api.errors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from api.errors import ApiError, Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from api.keys import Scope

_CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="wafleet"'}


def unauthorized() -> ApiError:
    return ApiError(
        Problem(
            status=401,
            code="unauthorized",
            title="The API key is missing or wrong",
            detail="Send the API key in the header Authorization: Bearer KEY.",
            headers=_CHALLENGE,
        )
    )


def key_expired() -> ApiError:
    return ApiError(
        Problem(
            status=401,
            code="key_expired",
            title="The API key has expired",
            detail="Make a new key, with a later end or none.",
            headers=_CHALLENGE,
        )
    )


def key_revoked() -> ApiError:
    return ApiError(
        Problem(
            status=401,
            code="key_revoked",
            title="The API key was revoked",
            detail="Use another key, or make a new one.",
            headers=_CHALLENGE,
        )
    )


def scope_missing(scope: Scope) -> ApiError:
    return ApiError(
        Problem(
            status=403,
            code="scope_missing",
            title="The API key may not do this",
            detail=f"Use a key that has the scope {scope}.",
            members={"scope": scope.value},
        )
    )


def key_limited() -> ApiError:
    return ApiError(
        Problem(
            status=403,
            code="key_limited",
            title="The API key is for certain sessions only",
            detail="Use a key that is for all sessions of the workspace.",
        )
    )


def operator_only() -> ApiError:
    return ApiError(
        Problem(
            status=403,
            code="operator_only",
            title="This is about the whole node",
            detail="Only the node's operator can ask this, with a key of the workspace default.",
        )
    )


def scope_not_own(missing: Sequence[str]) -> ApiError:
    """Return the error for a new key that was to be allowed more than its maker is."""
    return ApiError(
        Problem(
            status=403,
            code="scope_not_own",
            title="A key can't give more than it has",
            detail=f"Leave out {', '.join(missing)}, or use a key that has it.",
        )
    )
