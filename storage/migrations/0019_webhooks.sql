-- depends: 0018_inbound
-- Endpoints that are told what happens. secret is sealed, bound to its row; during a rotation the
-- previous one signs, too, until previous_until. place is the last event that was dealt with: it was
-- delivered, did not interest, or is in webhook_events. events is a list of types, empty for all.
CREATE TABLE webhooks (
    id INTEGER PRIMARY KEY,
    uuid TEXT NOT NULL UNIQUE,
    workspace_id INTEGER NOT NULL REFERENCES workspaces (id),
    whatsapp_session_id INTEGER,
    url TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    events TEXT NOT NULL DEFAULT '[]' CHECK (json_type(events) = 'array'),
    with_messages INTEGER NOT NULL DEFAULT 1 CHECK (with_messages IN (0, 1)),
    secret TEXT NOT NULL,
    previous_secret TEXT,
    previous_until INTEGER,
    disabled TEXT CHECK (disabled IN ('operator', 'gone', 'failing')),
    place TEXT,
    failing_since INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    CHECK ((previous_secret IS NULL) = (previous_until IS NULL)),
    UNIQUE (workspace_id, id),
    FOREIGN KEY (workspace_id, whatsapp_session_id)
        REFERENCES whatsapp_sessions (workspace_id, id)
) STRICT;

CREATE INDEX webhooks_listing ON webhooks (workspace_id, uuid);

CREATE INDEX webhooks_session ON webhooks (whatsapp_session_id);

-- Events before an endpoint's place that it has not taken yet: waiting for their next attempt, or
-- behind one of the same lane that does (a lane is a session: its order is kept), or given up.
CREATE TABLE webhook_events (
    id INTEGER PRIMARY KEY,
    workspace_id INTEGER NOT NULL REFERENCES workspaces (id),
    webhook_id INTEGER NOT NULL,
    event TEXT NOT NULL,
    type TEXT NOT NULL,
    lane TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'dead')),
    step INTEGER NOT NULL CHECK (step >= 0),
    attempts INTEGER NOT NULL CHECK (attempts >= 0),
    next_at INTEGER NOT NULL,
    tried_at INTEGER,
    code TEXT,
    status INTEGER,
    UNIQUE (webhook_id, event),
    FOREIGN KEY (workspace_id, webhook_id)
        REFERENCES webhooks (workspace_id, id) ON DELETE CASCADE
) STRICT;

CREATE INDEX webhook_events_lanes ON webhook_events (webhook_id, lane, event)
    WHERE state = 'waiting';

CREATE INDEX webhook_events_dead ON webhook_events (webhook_id, event) WHERE state = 'dead';

-- What was tried, for people: the newest of each webhook, those that failed apart from the others.
CREATE TABLE webhook_attempts (
    id INTEGER PRIMARY KEY,
    workspace_id INTEGER NOT NULL REFERENCES workspaces (id),
    webhook_id INTEGER NOT NULL,
    event TEXT NOT NULL,
    type TEXT NOT NULL,
    number INTEGER NOT NULL CHECK (number > 0),
    failed INTEGER NOT NULL CHECK (failed IN (0, 1)),
    code TEXT NOT NULL,
    status INTEGER,
    took INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    FOREIGN KEY (workspace_id, webhook_id)
        REFERENCES webhooks (workspace_id, id) ON DELETE CASCADE
) STRICT;

CREATE INDEX webhook_attempts_newest ON webhook_attempts (webhook_id, id);

CREATE INDEX webhook_attempts_kept ON webhook_attempts (webhook_id, failed, id);
