"""The sealed secrets of webhooks, for the rotation of keys and the doctor, on own connections."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from storage.sqlite.connection import open_connections
from storage.sqlite.transactions import transaction

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from storage.sqlite.connection import Connections
    from storage.sqlite.transactions import Transaction
    from supervisor.admin.place import Place

Column = Literal["secret", "previous_secret"]
_COLUMNS: Final[tuple[Column, ...]] = ("secret", "previous_secret")


@dataclass(frozen=True, slots=True)
class WebhookSecret:
    """One of the two secrets of a webhook, as it is kept."""

    webhook_id: str
    column: Column
    sealed: str = field(repr=False)


class WebhookRows:
    """Reads sealed secrets, and replaces them while the caller holds the data directory."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def all(self) -> Sequence[WebhookSecret]:
        """Return every secret of every webhook, disabled ones too."""
        rows = await self._connections.read("SELECT uuid, secret, previous_secret FROM webhooks")
        return [
            WebhookSecret(row[0], column, sealed)
            for row in rows
            for column, sealed in zip(_COLUMNS, row[1:], strict=True)
            if sealed is not None
        ]

    @transaction
    async def replace(self, tx: Transaction, secret: WebhookSecret, sealed: str) -> bool:
        """Put one sealed anew in place of the one that was read; False if that has changed."""
        column = secret.column
        changed = await tx.change(
            f"UPDATE webhooks SET {column} = ? WHERE uuid = ? AND {column} = ?",  # noqa: S608
            (sealed, secret.webhook_id, secret.sealed),
        )
        return changed == 1


@asynccontextmanager
async def open_webhook_rows(place: Place) -> AsyncIterator[WebhookRows]:
    """Open the database, which must be at the newest version."""
    async with open_connections(place.data.database, place.busy_timeout_ms) as connections:
        yield WebhookRows(connections)
