-- depends: 0017_uploads
-- What others did to a message, the newest of each person's. They go with the message and with the
-- person: erasure deletes them.
CREATE TABLE reactions (
    id INTEGER PRIMARY KEY,
    workspace_id INTEGER NOT NULL REFERENCES workspaces (id),
    message_id INTEGER NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    contact_id INTEGER NOT NULL,
    emoji TEXT NOT NULL CHECK (emoji <> ''),
    created_at INTEGER NOT NULL,
    UNIQUE (message_id, contact_id),
    FOREIGN KEY (workspace_id, contact_id) REFERENCES contacts (workspace_id, id)
) STRICT;

CREATE INDEX reactions_contact ON reactions (contact_id);

CREATE TABLE poll_votes (
    id INTEGER PRIMARY KEY,
    workspace_id INTEGER NOT NULL REFERENCES workspaces (id),
    message_id INTEGER NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    contact_id INTEGER NOT NULL,
    options TEXT NOT NULL CHECK (json_type(options) = 'array'),
    created_at INTEGER NOT NULL,
    UNIQUE (message_id, contact_id),
    FOREIGN KEY (workspace_id, contact_id) REFERENCES contacts (workspace_id, id)
) STRICT;

CREATE INDEX poll_votes_contact ON poll_votes (contact_id);

-- Files that are still to be fetched, or never will be (error_code). One that is kept has no row.
CREATE TABLE media_downloads (
    message_id INTEGER PRIMARY KEY REFERENCES messages (id) ON DELETE CASCADE,
    workspace_id INTEGER NOT NULL REFERENCES workspaces (id),
    whatsapp_session_id INTEGER NOT NULL REFERENCES whatsapp_sessions (id) ON DELETE CASCADE,
    attempts INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    attempted_at INTEGER NOT NULL DEFAULT 0,
    error_code TEXT,
    created_at INTEGER NOT NULL
) STRICT;

CREATE INDEX media_downloads_wanted ON media_downloads (whatsapp_session_id, message_id)
    WHERE error_code IS NULL;
