-- Names were unique in their workspace only. Of the live sessions that share a name the oldest
-- keeps it, the others get their id behind it: no session is lost.
CREATE TABLE new_whatsapp_sessions (
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

INSERT INTO new_whatsapp_sessions
SELECT
    s.id, s.uuid,
    iif(
        s.deleted_at IS NULL AND EXISTS (
            SELECT 1 FROM whatsapp_sessions AS o
            WHERE o.session_id = s.session_id AND o.deleted_at IS NULL AND o.id < s.id
        ),
        s.session_id || '-' || lower(s.uuid),
        s.session_id
    ),
    s.phone_number, s.provider_type, s.desired, s.status, s.reason, s.detail, s.incarnation,
    s.sequence, s.since_at, s.last_activity_at, s.last_connected_at, s.created_at, s.updated_at,
    s.deleted_at
FROM whatsapp_sessions AS s;

DROP TABLE whatsapp_sessions;

ALTER TABLE new_whatsapp_sessions RENAME TO whatsapp_sessions;

CREATE UNIQUE INDEX whatsapp_sessions_name
    ON whatsapp_sessions (session_id) WHERE deleted_at IS NULL;

CREATE INDEX whatsapp_sessions_status ON whatsapp_sessions (status);
