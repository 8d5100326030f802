"""The problems of streams and broadcasts; their codes are in the table of api.errors."""

from __future__ import annotations

from api.errors import ApiError, Problem


def upgrade_required() -> ApiError:
    return ApiError(
        Problem(
            status=426,
            code="upgrade_required",
            title="This is a WebSocket",
            detail="Connect with a WebSocket client (version 13), or use GET /v1/events.",
            headers={"Upgrade": "websocket", "Connection": "Upgrade"},
        )
    )


def origin_refused() -> ApiError:
    return ApiError(
        Problem(
            status=403,
            code="origin_refused",
            title="The Origin is another one",
            detail="Connect from a server, or from a page of this host.",
        )
    )


def too_many_streams(limit: int) -> ApiError:
    return ApiError(
        Problem(
            status=429,
            code="too_many_streams",
            title="Too many streams are open",
            detail="Close one first; one stream carries the events of all sessions.",
            members={"limit": limit},
            headers={"Retry-After": "5"},
        )
    )


def broadcast_off() -> ApiError:
    return ApiError(
        Problem(
            status=409,
            code="broadcast_off",
            title="Nothing is broadcast",
            detail="Set broadcast_driver = pusher, or read GET /v1/events.",
        )
    )


def channel_not_found() -> ApiError:
    return ApiError(
        Problem(
            status=404,
            code="channel_not_found",
            title="There is no such channel",
            detail=(
                "Use private-wafleet-session-{id}, private-wafleet-qr-{id} or"
                " private-wafleet-workspace-{id}."
            ),
        )
    )
