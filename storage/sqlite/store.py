"""All ports of storage on one SQLite file."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from storage.sqlite import migrations
from storage.sqlite.acceptance import AcceptanceTable
from storage.sqlite.adoption import AdoptionTable
from storage.sqlite.archives import ArchiveTable
from storage.sqlite.audit import AccessTable
from storage.sqlite.connection import open_connections
from storage.sqlite.downloads import DownloadTable
from storage.sqlite.events import EventTable
from storage.sqlite.files import prepare_file
from storage.sqlite.grants import GrantTable
from storage.sqlite.ids import MonotonicIds
from storage.sqlite.inbound import InboundTable
from storage.sqlite.keys import KeyTable
from storage.sqlite.media import MediaTable
from storage.sqlite.messages import MessageTable
from storage.sqlite.number_grants import NumberGrantTable
from storage.sqlite.outbox import OutboxTable
from storage.sqlite.privacy import PrivacyTable
from storage.sqlite.queue import QueueTable
from storage.sqlite.retention import RetentionTable
from storage.sqlite.sessions import SessionTable
from storage.sqlite.statuses import StatusTable
from storage.sqlite.tenants import TenantTable
from storage.sqlite.uploads import UploadTable
from storage.sqlite.webhook_rounds import WebhookRoundTable
from storage.sqlite.webhooks import WebhookTable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from storage.acceptance import Acceptance
    from storage.adoption import Adoptions
    from storage.archives_index import ArchiveIndex
    from storage.audit import AccessLog
    from storage.events import EventLog
    from storage.grants import GrantLog
    from storage.keys import Keys
    from storage.media_index import MediaIndex
    from storage.privacy import Privacy
    from storage.queue import Queue
    from storage.sqlite.connection import Connections
    from storage.store import Store
    from storage.tenants import Tenants
    from storage.uploads import UploadIndex
    from storage.webhooks import Webhooks

_NAMED: Final = (
    "subscription_plans",
    "workspaces",
    "api_keys",
    "whatsapp_sessions",
    "contacts",
    "chats",
    "messages",
    "campaigns",
    "campaign_logs",
    "events",
    "whatsapp_session_access_logs",
    "whatsapp_session_archives",
    "media",
    "webhooks",
)
"""The tables whose rows have public ids."""


class SqliteStore(
    SessionTable,
    StatusTable,
    AcceptanceTable,
    OutboxTable,
    MessageTable,
    InboundTable,
    DownloadTable,
    TenantTable,
    KeyTable,
    EventTable,
    AccessTable,
    ArchiveTable,
    MediaTable,
    PrivacyTable,
    RetentionTable,
    AdoptionTable,
    GrantTable,
    NumberGrantTable,
    QueueTable,
    UploadTable,
    WebhookTable,
    WebhookRoundTable,
):
    """Implements every port of storage; made by `open_store`, used on the loop that opened it."""

    def __init__(self, connections: Connections, ids: MonotonicIds) -> None:
        self._connections = connections
        self._ids = ids

    async def ping(self) -> None:
        await self._connections.read("SELECT 1 FROM whatsapp_sessions LIMIT 1")


@asynccontextmanager
async def open_store(
    path: Path,
    *,
    busy_timeout_ms: int = migrations.DEFAULT_BUSY_TIMEOUT_MS,
    patience: float = 0.0,
) -> AsyncIterator[SqliteStore]:
    """Open the database file, made (mode 0600) and brought to the newest version if needed.

    Its directory must exist. `busy_timeout_ms` bounds how long any write waits for a lock that
    another program holds, `patience` (s) how long a patient one waits for company. At the end of
    the block everything committed is on the disk, and no thread or descriptor is left. Raises
    StoreBusy, StoreFull, StoreUnusable.
    """
    await _prepare(path, busy_timeout_ms)
    async with open_connections(path, busy_timeout_ms, patience) as connections:
        newest = " UNION ALL ".join(f"SELECT max(uuid) AS uuid FROM {table}" for table in _NAMED)  # noqa: S608
        rows = await connections.read(f"SELECT max(uuid) FROM ({newest})")  # noqa: S608
        yield SqliteStore(connections, MonotonicIds(rows[0][0]))


async def _prepare(path: Path, busy_timeout_ms: int) -> None:
    # A thread of its own, not the loop's default executor, whose threads would stay.
    executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="wafleet-store-open")
    try:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(executor, _prepare_blocking, path, busy_timeout_ms)
    finally:
        executor.shutdown(wait=False)


def _prepare_blocking(path: Path, busy_timeout_ms: int) -> None:
    prepare_file(path, busy_timeout_ms)
    migrations.apply(path, busy_timeout_ms=busy_timeout_ms)
    migrations.require_expected(path, busy_timeout_ms=busy_timeout_ms)


if TYPE_CHECKING:

    def _implements_the_ports(
        store: SqliteStore,
    ) -> tuple[
        Store,
        Acceptance,
        Tenants,
        Keys,
        EventLog,
        AccessLog,
        ArchiveIndex,
        MediaIndex,
        Privacy,
        Adoptions,
        GrantLog,
        Queue,
        UploadIndex,
        Webhooks,
    ]:
        return (store,) * 14
