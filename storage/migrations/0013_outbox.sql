-- depends: 0012_limiter_log
-- What delivery needs to know of a message. content holds what its kind has beside the text (see
-- storage.messages). priority 0 is a conversation, 1 is bulk, which waits for it. It is not sent
-- before send_at, and not after expires_at. attempted_at is when it was last handed to a page:
-- a login that was restored from before then knows nothing of it, and what is sent again after that
-- may be a possible_duplicate.
CREATE TABLE new_messages (
    id INTEGER PRIMARY KEY,
    uuid TEXT NOT NULL UNIQUE,
    workspace_id INTEGER NOT NULL REFERENCES workspaces (id),
    whatsapp_session_id INTEGER NOT NULL,
    chat_id INTEGER NOT NULL,
    contact_id INTEGER,
    direction TEXT NOT NULL CHECK (direction IN ('outbound', 'inbound')),
    chat TEXT NOT NULL,
    sender TEXT,
    wa_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    body TEXT NOT NULL,
    content TEXT NOT NULL DEFAULT '{}' CHECK (json_type(content) = 'object'),
    state TEXT NOT NULL CHECK (
        state IN (
            'accepted', 'sending', 'sent', 'delivered', 'read', 'played',
            'unknown', 'failed', 'expired', 'cancelled', 'received'
        )
    ),
    error_code TEXT,
    error_detail TEXT,
    attempts INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    priority INTEGER NOT NULL DEFAULT 0 CHECK (priority IN (0, 1)),
    possible_duplicate INTEGER NOT NULL DEFAULT 0 CHECK (possible_duplicate IN (0, 1)),
    send_at INTEGER,
    expires_at INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    attempted_at INTEGER,
    sent_at INTEGER,
    delivered_at INTEGER,
    read_at INTEGER,
    edited_at INTEGER,
    revoked_at INTEGER,
    erased_at INTEGER,
    CHECK ((direction = 'inbound') = (state = 'received')),
    CHECK (erased_at IS NULL OR (body = '' AND content = '{}')),
    UNIQUE (whatsapp_session_id, direction, chat, wa_id),
    FOREIGN KEY (workspace_id, whatsapp_session_id)
        REFERENCES whatsapp_sessions (workspace_id, id),
    FOREIGN KEY (workspace_id, chat_id) REFERENCES chats (workspace_id, id),
    FOREIGN KEY (workspace_id, contact_id) REFERENCES contacts (workspace_id, id)
) STRICT;

INSERT INTO new_messages (
    id, uuid, workspace_id, whatsapp_session_id, chat_id, contact_id, direction, chat, sender,
    wa_id, kind, body, state, error_code, error_detail, attempts, created_at, updated_at, sent_at,
    delivered_at, read_at, erased_at
)
SELECT
    id, uuid, workspace_id, whatsapp_session_id, chat_id, contact_id, direction, chat, sender,
    wa_id, kind, body, state, error_code, error_detail, attempts, created_at, updated_at, sent_at,
    delivered_at, read_at, erased_at
FROM messages;

DROP TABLE messages;

ALTER TABLE new_messages RENAME TO messages;

CREATE INDEX messages_outbox ON messages (whatsapp_session_id, id) WHERE state = 'accepted';

CREATE INDEX messages_sending ON messages (whatsapp_session_id) WHERE state = 'sending';

CREATE INDEX messages_unknown ON messages (whatsapp_session_id, id) WHERE state = 'unknown';

CREATE INDEX messages_receipts ON messages (whatsapp_session_id, direction, wa_id);

CREATE INDEX messages_newest ON messages (whatsapp_session_id, uuid);

CREATE INDEX messages_direction ON messages (whatsapp_session_id, direction, uuid);

CREATE INDEX messages_chat ON messages (whatsapp_session_id, chat, uuid);

CREATE INDEX messages_state ON messages (direction, state);

CREATE INDEX messages_age ON messages (workspace_id, created_at);

CREATE INDEX messages_contact ON messages (contact_id, uuid);
