"""The SQLite adapter of the Store port: `open_store`, and `migrations` for the command line."""

from __future__ import annotations

from storage.sqlite.store import SqliteStore, open_store

__all__ = ["SqliteStore", "open_store"]
