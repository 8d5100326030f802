-- depends: 0015_turns
-- Under which key a request was accepted, so that a repeat finds what the first one made. Nothing of
-- what the client wrote is kept: key and body are there as SHA-256 only, and the body's goes too once
-- one of the messages is erased. A batch's messages are its items, in their places in the request.
-- session_status is what the first answer told. kept_until is when it is looked at again, not before
-- a day has passed: it goes if none of its messages has to be sent any more, else it waits a day more.
CREATE TABLE idempotency_keys (
    id INTEGER PRIMARY KEY,
    workspace_id INTEGER NOT NULL REFERENCES workspaces (id),
    whatsapp_session_id INTEGER NOT NULL,
    key_hash TEXT NOT NULL CHECK (length(key_hash) = 64),
    body_hash TEXT CHECK (length(body_hash) = 64),
    session_status TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    kept_until INTEGER NOT NULL,
    UNIQUE (workspace_id, key_hash),
    UNIQUE (workspace_id, id),
    FOREIGN KEY (workspace_id, whatsapp_session_id)
        REFERENCES whatsapp_sessions (workspace_id, id) ON DELETE CASCADE
) STRICT;

CREATE INDEX idempotency_keys_session ON idempotency_keys (whatsapp_session_id);

CREATE INDEX idempotency_keys_age ON idempotency_keys (kept_until);

-- message_id is NULL once retention has taken the message.
CREATE TABLE idempotency_items (
    key_id INTEGER NOT NULL,
    item INTEGER NOT NULL CHECK (item >= 0),
    workspace_id INTEGER NOT NULL REFERENCES workspaces (id),
    message_id INTEGER REFERENCES messages (id) ON DELETE SET NULL,
    PRIMARY KEY (key_id, item),
    FOREIGN KEY (workspace_id, key_id) REFERENCES idempotency_keys (workspace_id, id)
        ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_items_message ON idempotency_items (message_id);
