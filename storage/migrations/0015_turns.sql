-- depends: 0013_outbox
-- Whose turn it is: in a session, the oldest of those that wait for nothing (send_at is null), and
-- of those whose time has come the earliest, by priority and within each chat. A chat whose last
-- message is on its way, or in doubt, waits for that one. forgotten: the login was put back to
-- before the message was handed over, so that WhatsApp's not knowing it proves nothing.
ALTER TABLE messages ADD COLUMN forgotten INTEGER NOT NULL DEFAULT 0;

CREATE INDEX messages_ready ON messages (whatsapp_session_id, priority, send_at, id)
    WHERE state = 'accepted';

CREATE INDEX messages_turn ON messages (whatsapp_session_id, chat, send_at, id)
    WHERE state = 'accepted';

CREATE INDEX messages_blocking ON messages (whatsapp_session_id, chat)
    WHERE state IN ('sending', 'unknown');

CREATE INDEX messages_expiry ON messages (expires_at)
    WHERE state = 'accepted' AND expires_at IS NOT NULL;
