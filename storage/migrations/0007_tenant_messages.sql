-- depends: 0006_contacts_chats
-- Every message belongs to a workspace, a chat, and to the contact it was exchanged with: the other
-- side of a chat of two, the sender in a group. chat and sender stay as the page reports them.
-- erased_at is set once the contact was erased: body empty, jids replaced by the pseudonym.
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
    delivered_at, read_at
)
SELECT
    m.id, m.uuid, s.workspace_id, s.id, h.id, coalesce(h.contact_id, c.id), m.direction, m.chat,
    m.sender, m.wa_id, m.kind, m.body, m.state, m.error_code, m.error_detail, m.attempts,
    m.created_at, m.updated_at, m.sent_at, m.delivered_at, m.read_at
FROM messages AS m
JOIN whatsapp_sessions AS s ON s.id = m.whatsapp_session_id
JOIN chats AS h ON h.whatsapp_session_id = s.id AND h.jid = m.chat
LEFT JOIN contacts AS c ON c.workspace_id = s.workspace_id AND c.jid = m.sender;

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
