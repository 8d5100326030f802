"""What tests of the outbox over HTTP share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tests.integration.test_api_server import KEY

if TYPE_CHECKING:
    from storage.messages import MessageRow
    from tests.integration.test_api_server import Api, Reached

MESSAGES: Final = "/v1/sessions/a/messages"
BATCH: Final = f"{MESSAGES}/batch"
TO: Final = "+1 (555) 010-0199"
CHAT: Final = "15550100199@c.us"
OTHER: Final = "15550100200@c.us"
TEXT: Final = {"to": TO, "text": "hello"}
HOUR: Final = 3_600_000


async def keyed(api: Api, path: str, body: object, *keys: str) -> Reached:
    headers = [("Authorization", f"Bearer {KEY}"), *(("Idempotency-Key", key) for key in keys)]
    return await api.call("POST", path, json=body, headers=headers)


def told(answer: Reached) -> dict[str, Any]:
    """Return what an answer says of the message; its place in the queue is always that of now."""
    return {name: value for name, value in answer.json.items() if name != "queue"}


async def stored(api: Api) -> list[MessageRow]:
    """Return all messages of the session `a`, oldest first."""
    session = await api.store.session_named(api.deps.workspace_id, "a")
    rows = await api.store.messages(api.deps.workspace_id, session.id, limit=5000)
    return list(rows)[::-1]
