-- A message that was cancelled or expired was not sent; the former schema has failed for that.
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
    state TEXT NOT NULL CHECK (
        state IN (
            'accepted', 'sending', 'sent', 'delivered', 'read', 'played',
            'unknown', 'failed', 'received'
        )
    ),
    error_code TEXT,
    error_detail TEXT,
    attempts INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    sent_at INTEGER,
    delivered_at INTEGER,
    read_at INTEGER,
    erased_at INTEGER,
    CHECK ((direction = 'inbound') = (state = 'received')),
    CHECK (erased_at IS NULL OR body = ''),
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
    wa_id, kind, body, iif(state IN ('expired', 'cancelled'), 'failed', state),
    iif(state IN ('expired', 'cancelled'), coalesce(error_code, state), error_code), error_detail,
    attempts, created_at, updated_at, sent_at, delivered_at, read_at, erased_at
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
