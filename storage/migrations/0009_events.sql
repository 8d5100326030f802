-- depends: 0008_campaigns
-- What happened, in order of commit: each row was committed together with the change it tells of.
-- AUTOINCREMENT: a place in the order is never given twice, even after retention took the last ones.
-- A payload names rows by their public ids and never holds a body, a QR code or a phone number.
CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid TEXT NOT NULL UNIQUE,
    workspace_id INTEGER NOT NULL REFERENCES workspaces (id),
    whatsapp_session_id INTEGER,
    type TEXT NOT NULL,
    version INTEGER NOT NULL CHECK (version > 0),
    payload TEXT NOT NULL CHECK (json_valid(payload)),
    created_at INTEGER NOT NULL,
    FOREIGN KEY (workspace_id, whatsapp_session_id)
        REFERENCES whatsapp_sessions (workspace_id, id)
) STRICT;

CREATE INDEX events_workspace ON events (workspace_id, id);

CREATE INDEX events_session ON events (whatsapp_session_id, id);

CREATE INDEX events_age ON events (workspace_id, created_at);

CREATE TRIGGER events_are_facts BEFORE UPDATE ON events
BEGIN
    SELECT raise(ABORT, 'events are never changed');
END;
