"""What wafleet remembers: the port (storage.store) and its SQLite adapter (storage.sqlite)."""
