-- depends: 0009_events
-- Who did what, when, from where, with which result. Append-only: the triggers refuse changes and
-- deletions, retention does not touch it. Each workspace has a chain of its own, so that its owner
-- can check it without seeing anyone else's: entries are numbered from 1, and
-- hash = SHA-256(previous_hash, canonical JSON of the entry), both hashes as 64 hex digits, the
-- first previous_hash all zeros. `who` is a key's public id, or the name of what acts without one.
CREATE TABLE whatsapp_session_access_logs (
    id INTEGER PRIMARY KEY,
    uuid TEXT NOT NULL UNIQUE,
    workspace_id INTEGER NOT NULL REFERENCES workspaces (id),
    number INTEGER NOT NULL CHECK (number > 0),
    whatsapp_session_id INTEGER,
    api_key_id INTEGER,
    who TEXT NOT NULL,
    action TEXT NOT NULL,
    result TEXT NOT NULL,
    ip_address TEXT,
    detail TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(detail)),
    created_at INTEGER NOT NULL,
    previous_hash TEXT NOT NULL CHECK (length(previous_hash) = 64),
    hash TEXT NOT NULL CHECK (length(hash) = 64),
    UNIQUE (workspace_id, number),
    FOREIGN KEY (workspace_id, whatsapp_session_id)
        REFERENCES whatsapp_sessions (workspace_id, id),
    FOREIGN KEY (workspace_id, api_key_id) REFERENCES api_keys (workspace_id, id)
) STRICT;

CREATE INDEX whatsapp_session_access_logs_session
    ON whatsapp_session_access_logs (whatsapp_session_id, number);

CREATE INDEX whatsapp_session_access_logs_key ON whatsapp_session_access_logs (api_key_id);

CREATE TRIGGER access_logs_are_not_changed BEFORE UPDATE ON whatsapp_session_access_logs
BEGIN
    SELECT raise(ABORT, 'the access log is append-only');
END;

CREATE TRIGGER access_logs_are_not_deleted BEFORE DELETE ON whatsapp_session_access_logs
BEGIN
    SELECT raise(ABORT, 'the access log is append-only');
END;

-- INSERT OR REPLACE deletes what is in its way without asking the trigger above.
CREATE TRIGGER access_logs_are_not_replaced BEFORE INSERT ON whatsapp_session_access_logs
WHEN EXISTS (
    SELECT 1 FROM whatsapp_session_access_logs AS o
    WHERE o.id = NEW.id OR o.uuid = NEW.uuid
    OR (o.workspace_id = NEW.workspace_id AND o.number >= NEW.number)
)
BEGIN
    SELECT raise(ABORT, 'the access log is append-only');
END;
