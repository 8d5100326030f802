-- depends: 0007_tenant_messages
-- Broadcasts and what became of each recipient. They outlive the session that sent them.
CREATE TABLE campaigns (
    id INTEGER PRIMARY KEY,
    uuid TEXT NOT NULL UNIQUE,
    workspace_id INTEGER NOT NULL REFERENCES workspaces (id),
    whatsapp_session_id INTEGER REFERENCES whatsapp_sessions (id) ON DELETE SET NULL,
    name TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'draft' CHECK (
        status IN ('draft', 'scheduled', 'running', 'paused', 'completed', 'cancelled')
    ),
    metadata TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(metadata)),
    created_by INTEGER REFERENCES api_keys (id) ON DELETE SET NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (workspace_id, id)
) STRICT;

CREATE INDEX campaigns_listing ON campaigns (workspace_id, uuid);

CREATE INDEX campaigns_session ON campaigns (whatsapp_session_id);

CREATE INDEX campaigns_creator ON campaigns (created_by);

CREATE TABLE campaign_logs (
    id INTEGER PRIMARY KEY,
    uuid TEXT NOT NULL UNIQUE,
    workspace_id INTEGER NOT NULL REFERENCES workspaces (id),
    campaign_id INTEGER NOT NULL,
    whatsapp_session_id INTEGER REFERENCES whatsapp_sessions (id) ON DELETE SET NULL,
    contact_id INTEGER REFERENCES contacts (id) ON DELETE SET NULL,
    message_id INTEGER REFERENCES messages (id) ON DELETE SET NULL,
    status TEXT NOT NULL DEFAULT 'pending' CHECK (
        status IN ('pending', 'accepted', 'sent', 'failed', 'skipped')
    ),
    error_code TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    FOREIGN KEY (workspace_id, campaign_id)
        REFERENCES campaigns (workspace_id, id) ON DELETE CASCADE
) STRICT;

CREATE INDEX campaign_logs_campaign ON campaign_logs (campaign_id, whatsapp_session_id);

CREATE INDEX campaign_logs_session ON campaign_logs (whatsapp_session_id);

CREATE INDEX campaign_logs_contact ON campaign_logs (contact_id);

CREATE INDEX campaign_logs_message ON campaign_logs (message_id);
