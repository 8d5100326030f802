-- depends: 0016_idempotency
-- Files that a workspace has handed in, to be sent. The file itself is a row of media without a
-- message: so it is backed up, checked and put under new keys as every other. size and mimetype are
-- those of what was handed in. A message that is still to be sent keeps what its content names.
CREATE TABLE uploads (
    media_id INTEGER PRIMARY KEY REFERENCES media (id) ON DELETE CASCADE,
    workspace_id INTEGER NOT NULL REFERENCES workspaces (id),
    mimetype TEXT NOT NULL,
    filename TEXT,
    size INTEGER NOT NULL CHECK (size > 0),
    problem TEXT,
    expires_at INTEGER NOT NULL
) STRICT;

CREATE INDEX messages_upload ON messages (json_extract(content, '$.media'))
WHERE json_extract(content, '$.media') IS NOT NULL;
