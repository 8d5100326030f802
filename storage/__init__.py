"""What wafleet remembers: ports and records, and in storage.sqlite the adapter of all of them.

store: sessions and messages. tenants: workspaces, plans, limits, numbers. keys: API keys. events:
the event log. audit: the access log. archives_index: pointers to session archives. media_index:
pointers to messages' files. privacy: contacts, export, erasure, retention.

archives and media: the encrypted files themselves; archive_files and media_files keep them.
"""
