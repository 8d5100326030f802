-- depends: 0004_api_keys
-- Every session belongs to a workspace; those that were there go to the workspace `default`.
-- uuid (the public id) is unique everywhere and for ever. session_id (the operator's name) is unique
-- in its workspace among the sessions that are not deleted: two tenants may both have a `sales`, and
-- neither learns of the other's.
--
-- The encrypted session data (5 to 100 MB) is not in this row and must never be: SQLite writes whole
-- rows, so that each status update would write those megabytes again, into the log and once more
-- into the file, and every reader of a status would page through them. It stands in files;
-- whatsapp_session_archives points to them. Only the counter of their generations is here.
--
-- qr_code is kept sealed (never as the phone scans it), and only while the status is qr_scanning.
-- The pair (workspace_id, id) is unique so that other tables can refer to both: a row of one
-- workspace then can't point into another one.
CREATE TABLE new_whatsapp_sessions (
    id INTEGER PRIMARY KEY,
    uuid TEXT NOT NULL UNIQUE,
    workspace_id INTEGER NOT NULL REFERENCES workspaces (id),
    session_id TEXT NOT NULL,
    phone_number TEXT,
    provider_type TEXT NOT NULL DEFAULT 'webjs' CHECK (provider_type IN ('meta', 'webjs')),
    desired TEXT NOT NULL CHECK (desired IN ('running', 'stopped')),
    status TEXT NOT NULL CHECK (
        status IN ('qr_scanning', 'authenticated', 'connected', 'disconnected', 'failed')
    ),
    reason TEXT NOT NULL,
    detail TEXT,
    qr_code TEXT,
    is_primary INTEGER NOT NULL DEFAULT 0 CHECK (is_primary IN (0, 1)),
    is_active INTEGER NOT NULL DEFAULT 1 CHECK (is_active IN (0, 1)),
    incarnation INTEGER NOT NULL DEFAULT 0 CHECK (incarnation >= 0),
    sequence INTEGER NOT NULL DEFAULT 0 CHECK (sequence >= 0),
    archive_generation INTEGER NOT NULL DEFAULT 0 CHECK (archive_generation >= 0),
    since_at INTEGER NOT NULL,
    last_activity_at INTEGER,
    last_connected_at INTEGER,
    metadata TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(metadata)),
    created_by INTEGER REFERENCES api_keys (id) ON DELETE SET NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    deleted_at INTEGER,
    UNIQUE (workspace_id, id)
) STRICT;

INSERT INTO new_whatsapp_sessions (
    id, uuid, workspace_id, session_id, phone_number, provider_type, desired, status, reason,
    detail, incarnation, sequence, since_at, last_activity_at, last_connected_at, created_at,
    updated_at, deleted_at
)
SELECT
    s.id, s.uuid, w.id, s.session_id, s.phone_number, s.provider_type, s.desired, s.status,
    s.reason, s.detail, s.incarnation, s.sequence, s.since_at, s.last_activity_at,
    s.last_connected_at, s.created_at, s.updated_at, s.deleted_at
FROM whatsapp_sessions AS s, workspaces AS w
WHERE w.name = 'default';

DROP TABLE whatsapp_sessions;

ALTER TABLE new_whatsapp_sessions RENAME TO whatsapp_sessions;

CREATE UNIQUE INDEX whatsapp_sessions_name
    ON whatsapp_sessions (workspace_id, session_id) WHERE deleted_at IS NULL;

CREATE UNIQUE INDEX whatsapp_sessions_primary
    ON whatsapp_sessions (workspace_id) WHERE is_primary = 1 AND deleted_at IS NULL;

CREATE INDEX whatsapp_sessions_workspace ON whatsapp_sessions (workspace_id, status);

CREATE INDEX whatsapp_sessions_listing ON whatsapp_sessions (workspace_id, uuid);

CREATE INDEX whatsapp_sessions_session ON whatsapp_sessions (session_id, status);

CREATE INDEX whatsapp_sessions_provider ON whatsapp_sessions (provider_type, is_active);

CREATE INDEX whatsapp_sessions_status ON whatsapp_sessions (status);

CREATE INDEX whatsapp_sessions_creator ON whatsapp_sessions (created_by);
