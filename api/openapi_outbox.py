"""The routes of the outbox as the OpenAPI document describes them."""

from __future__ import annotations

from typing import Any, Final

from api.idempotency import HEADER
from api.operation import Operation
from api.schemas import MessageOut, NoBody
from api.schemas_outbox import BatchOut, NewMessages, Resolve, ResolvedOut

_MESSAGES: Final = "/v1/sessions/{session}/messages"
_BATCH: Final = f"{_MESSAGES}/batch"

OUTBOX_OPERATIONS: Final = (
    Operation(
        method="post",
        path=_BATCH,
        summary="Accept up to 1,000 messages, with a result for each; what could be accepted was.",
        status=202,
        body=NewMessages,
        answer=BatchOut,
    ),
    Operation(
        method="post",
        path=f"{_MESSAGES}/resolve",
        summary="Send all unknown messages again under their ids, or give them up.",
        body=Resolve,
        answer=ResolvedOut,
    ),
    Operation(
        method="post",
        path=f"{_MESSAGES}/{{message}}/resolve",
        summary="Send an unknown message again under its id, or give it up; 409 if it is not.",
        body=Resolve,
        answer=MessageOut,
    ),
    Operation(
        method="post",
        path=f"{_MESSAGES}/{{message}}/cancel",
        summary="Take a message back that still waits and was never tried; 409 otherwise.",
        body=NoBody,
        answer=MessageOut,
    ),
)

_KEY: Final[dict[str, Any]] = {
    "name": HEADER,
    "in": "header",
    "description": (
        "Repeat a request under the same key and it is carried out once: the answer is the first"
        " one's, with Idempotency-Replayed: true. Kept for a day, and until all is sent."
    ),
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}


def header_parameters(operation: Operation) -> list[dict[str, Any]]:
    """Return the headers that a route heeds besides those of every route."""
    repeatable = operation.method == "post" and operation.path in {_MESSAGES, _BATCH}
    return [_KEY] if repeatable else []
