-- depends: 0010_access_log
-- Pointers to files; a file to which none points is rubbish, whatever its name says.
-- path is relative to the data directory. A session's generations only grow (its row counts them),
-- so that an old archive can't be passed off as the newest.
CREATE TABLE whatsapp_session_archives (
    id INTEGER PRIMARY KEY,
    uuid TEXT NOT NULL UNIQUE,
    workspace_id INTEGER NOT NULL REFERENCES workspaces (id),
    whatsapp_session_id INTEGER NOT NULL,
    generation INTEGER NOT NULL CHECK (generation > 0),
    path TEXT NOT NULL UNIQUE,
    sha256 TEXT NOT NULL CHECK (length(sha256) = 64),
    bytes INTEGER NOT NULL CHECK (bytes >= 0),
    created_at INTEGER NOT NULL,
    UNIQUE (whatsapp_session_id, generation),
    FOREIGN KEY (workspace_id, whatsapp_session_id)
        REFERENCES whatsapp_sessions (workspace_id, id)
) STRICT;

-- What came with a message. message_id is NULL once the message is gone: retention then takes it.
CREATE TABLE media (
    id INTEGER PRIMARY KEY,
    uuid TEXT NOT NULL UNIQUE,
    workspace_id INTEGER NOT NULL REFERENCES workspaces (id),
    message_id INTEGER REFERENCES messages (id) ON DELETE SET NULL,
    path TEXT NOT NULL UNIQUE,
    sha256 TEXT NOT NULL CHECK (length(sha256) = 64),
    bytes INTEGER NOT NULL CHECK (bytes >= 0),
    created_at INTEGER NOT NULL
) STRICT;

CREATE INDEX media_message ON media (message_id);

CREATE INDEX media_age ON media (workspace_id, created_at);

CREATE INDEX media_orphans ON media (id) WHERE message_id IS NULL;
