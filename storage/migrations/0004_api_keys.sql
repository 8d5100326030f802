-- depends: 0003_workspaces
-- Keys of the API. key_id is the public part by which a key is looked up; of the secret part only
-- its SHA-256 is kept (a slow hash protects weak passwords; a key has 256 random bits). Keys are
-- revoked, never deleted: what was done with them refers to them.
CREATE TABLE api_keys (
    id INTEGER PRIMARY KEY,
    uuid TEXT NOT NULL UNIQUE,
    workspace_id INTEGER NOT NULL REFERENCES workspaces (id),
    key_id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    hash TEXT NOT NULL CHECK (length(hash) = 64),
    scopes TEXT NOT NULL CHECK (json_valid(scopes) AND json_type(scopes) = 'array'),
    expires_at INTEGER,
    last_used_at INTEGER,
    revoked_at INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (workspace_id, id)
) STRICT;

CREATE INDEX api_keys_listing ON api_keys (workspace_id, uuid);
