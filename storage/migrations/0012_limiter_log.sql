-- depends: 0011_archives_media
-- What was granted under a limit: committed before what it allows begins, so that no crash and no
-- restart lets more through. boot_at is the time since the boot boot_id, in milliseconds, which
-- nobody can set; created_at, the wall clock, is for people. A grant goes when it counts no more.
CREATE TABLE limiter_log (
    id INTEGER PRIMARY KEY,
    workspace_id INTEGER NOT NULL REFERENCES workspaces (id),
    whatsapp_session_id INTEGER NOT NULL,
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    boot_id TEXT NOT NULL,
    boot_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (whatsapp_session_id, kind, key),
    FOREIGN KEY (workspace_id, whatsapp_session_id)
        REFERENCES whatsapp_sessions (workspace_id, id)
) STRICT;

CREATE INDEX limiter_log_kind ON limiter_log (kind, id);
