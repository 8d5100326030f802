-- depends: 0005_tenant_sessions
-- Who a workspace talks to, where, and how often. They are made by traffic: the first message in or
-- out makes the chat and the contact, and every message counts, in its own transaction.
-- An erased contact stays as a pseudonym (jid `erased:` and its id): the past adds up, names nobody.
CREATE TABLE contacts (
    id INTEGER PRIMARY KEY,
    uuid TEXT NOT NULL UNIQUE,
    workspace_id INTEGER NOT NULL REFERENCES workspaces (id),
    jid TEXT NOT NULL,
    phone_number TEXT,
    name TEXT,
    metadata TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(metadata)),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    erased_at INTEGER,
    UNIQUE (workspace_id, jid),
    UNIQUE (workspace_id, id)
) STRICT;

CREATE INDEX contacts_listing ON contacts (workspace_id, uuid);

-- whatsapp_session_id is NULL once the session's row is gone; a deleted session keeps its row.
CREATE TABLE chats (
    id INTEGER PRIMARY KEY,
    uuid TEXT NOT NULL UNIQUE,
    workspace_id INTEGER NOT NULL REFERENCES workspaces (id),
    whatsapp_session_id INTEGER REFERENCES whatsapp_sessions (id) ON DELETE SET NULL,
    contact_id INTEGER,
    jid TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('contact', 'group', 'other')),
    last_message_at INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (whatsapp_session_id, jid),
    UNIQUE (workspace_id, id),
    FOREIGN KEY (workspace_id, contact_id) REFERENCES contacts (workspace_id, id)
) STRICT;

CREATE INDEX chats_session ON chats (whatsapp_session_id, created_at);

CREATE INDEX chats_newest ON chats (workspace_id, last_message_at);

CREATE INDEX chats_contact ON chats (contact_id);

-- A link of two rows that have public ids; it has none of its own.
CREATE TABLE contact_sessions (
    id INTEGER PRIMARY KEY,
    workspace_id INTEGER NOT NULL REFERENCES workspaces (id),
    contact_id INTEGER NOT NULL,
    whatsapp_session_id INTEGER NOT NULL,
    first_interaction_at INTEGER NOT NULL,
    last_interaction_at INTEGER NOT NULL,
    total_messages INTEGER NOT NULL DEFAULT 0 CHECK (total_messages >= 0),
    UNIQUE (contact_id, whatsapp_session_id),
    FOREIGN KEY (workspace_id, contact_id)
        REFERENCES contacts (workspace_id, id) ON DELETE CASCADE,
    FOREIGN KEY (workspace_id, whatsapp_session_id)
        REFERENCES whatsapp_sessions (workspace_id, id) ON DELETE CASCADE
) STRICT;

CREATE INDEX contact_sessions_contact ON contact_sessions (contact_id, last_interaction_at);

CREATE INDEX contact_sessions_session
    ON contact_sessions (whatsapp_session_id, last_interaction_at);

-- What traffic would have made of the messages that are there. A contact or chat takes the public id
-- of its first message: unique, in order of time, and the same whenever this is repeated.
CREATE TEMP TABLE traffic AS
SELECT
    m.id AS message_id, m.uuid AS uuid, s.workspace_id AS workspace_id,
    m.whatsapp_session_id AS session_id, m.chat AS chat, m.created_at AS at,
    CASE
        WHEN m.chat GLOB '*@c.us' OR m.chat GLOB '*@lid' OR m.chat GLOB '*@s.whatsapp.net'
            THEN m.chat
        WHEN m.sender GLOB '*@c.us' OR m.sender GLOB '*@lid' OR m.sender GLOB '*@s.whatsapp.net'
            THEN m.sender
    END AS person
FROM messages AS m JOIN whatsapp_sessions AS s ON s.id = m.whatsapp_session_id;

INSERT INTO contacts (uuid, workspace_id, jid, phone_number, created_at, updated_at)
SELECT
    min(uuid), workspace_id, person,
    iif(person GLOB '*@lid', NULL, substr(person, 1, instr(person, '@') - 1)),
    min(at), max(at)
FROM traffic WHERE person IS NOT NULL GROUP BY workspace_id, person ORDER BY min(uuid);

INSERT INTO chats (
    uuid, workspace_id, whatsapp_session_id, contact_id, jid, kind, last_message_at, created_at,
    updated_at
)
SELECT
    min(t.uuid), t.workspace_id, t.session_id, c.id, t.chat,
    CASE
        WHEN t.chat GLOB '*@g.us' THEN 'group' WHEN c.id IS NOT NULL THEN 'contact' ELSE 'other'
    END,
    max(t.at), min(t.at), max(t.at)
FROM traffic AS t
LEFT JOIN contacts AS c ON c.workspace_id = t.workspace_id AND c.jid = t.chat
GROUP BY t.session_id, t.chat ORDER BY min(t.uuid);

INSERT INTO contact_sessions (
    workspace_id, contact_id, whatsapp_session_id, first_interaction_at, last_interaction_at,
    total_messages
)
SELECT t.workspace_id, c.id, t.session_id, min(t.at), max(t.at), count(*)
FROM traffic AS t JOIN contacts AS c ON c.workspace_id = t.workspace_id AND c.jid = t.person
GROUP BY c.id, t.session_id;

DROP TABLE traffic;
