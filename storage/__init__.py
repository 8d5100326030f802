"""What wafleet remembers: ports and records, and in storage.sqlite the adapter of all of them.

store: sessions and messages. tenants: workspaces, plans, limits, numbers. keys: API keys. events:
the event log. audit: the access log. archives_index: pointers to session archives. privacy:
contacts, export, erasure, retention.
"""
