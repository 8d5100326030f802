"""The routes of webhooks as documented."""

from __future__ import annotations

from typing import Final

from api.operation import Operation
from api.schemas import NoBody
from api.schemas_webhooks import (
    AttemptsOut,
    AttemptsQuery,
    ChangedWebhook,
    DeadLettersOut,
    DeadLettersQuery,
    MadeWebhookOut,
    NewWebhook,
    Replay,
    ReplayedOut,
    Rotation,
    WebhookOut,
    WebhooksOut,
    WebhooksQuery,
)

_ONE: Final = "/v1/webhooks/{webhook}"

WEBHOOK_OPERATIONS: Final = (
    Operation(
        method="get",
        path="/v1/webhooks",
        summary="List the workspace's webhooks in order of id.",
        query=WebhooksQuery,
        answer=WebhooksOut,
    ),
    Operation(
        method="post",
        path="/v1/webhooks",
        summary="Make a webhook, told of what happens from now on; its secret is shown this once.",
        status=201,
        body=NewWebhook,
        answer=MadeWebhookOut,
    ),
    Operation(method="get", path=_ONE, summary="Read a webhook.", answer=WebhookOut),
    Operation(
        method="patch",
        path=_ONE,
        summary="Change a webhook; enabling sends at once what waits.",
        body=ChangedWebhook,
        answer=WebhookOut,
    ),
    Operation(
        method="delete",
        path=_ONE,
        summary="Delete a webhook with all that waits for it.",
        status=204,
        body=NoBody,
    ),
    Operation(
        method="post",
        path=f"{_ONE}/rotate",
        summary="Give it another secret, shown this once; the one before signs, too, for a while.",
        body=Rotation,
        answer=MadeWebhookOut,
    ),
    Operation(
        method="post",
        path=f"{_ONE}/replay",
        summary="Send dead letters again, with the ids that they had.",
        status=202,
        body=Replay,
        answer=ReplayedOut,
    ),
    Operation(
        method="get",
        path=f"{_ONE}/attempts",
        summary="What was tried, newest first: the last 1,000 that failed, and 1,000 others.",
        query=AttemptsQuery,
        answer=AttemptsOut,
    ),
    Operation(
        method="get",
        path=f"{_ONE}/dead-letters",
        summary="Events that the endpoint did not take in all of their attempts.",
        query=DeadLettersQuery,
        answer=DeadLettersOut,
    ),
)
