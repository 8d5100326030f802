-- One row per session, deleted ones included. Times are milliseconds since the epoch, UTC.
-- uuid is the public id (a ULID), session_id the operator's name, free again once deleted_at is set.
CREATE TABLE whatsapp_sessions (
    id INTEGER PRIMARY KEY,
    uuid TEXT NOT NULL UNIQUE,
    session_id TEXT NOT NULL,
    phone_number TEXT,
    provider_type TEXT NOT NULL DEFAULT 'webjs' CHECK (provider_type IN ('meta', 'webjs')),
    desired TEXT NOT NULL CHECK (desired IN ('running', 'stopped')),
    status TEXT NOT NULL CHECK (
        status IN ('qr_scanning', 'authenticated', 'connected', 'disconnected', 'failed')
    ),
    reason TEXT NOT NULL,
    detail TEXT,
    incarnation INTEGER NOT NULL DEFAULT 0 CHECK (incarnation >= 0),
    sequence INTEGER NOT NULL DEFAULT 0 CHECK (sequence >= 0),
    since_at INTEGER NOT NULL,
    last_activity_at INTEGER,
    last_connected_at INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    deleted_at INTEGER
) STRICT;

CREATE UNIQUE INDEX whatsapp_sessions_name
    ON whatsapp_sessions (session_id) WHERE deleted_at IS NULL;

CREATE INDEX whatsapp_sessions_status ON whatsapp_sessions (status);
