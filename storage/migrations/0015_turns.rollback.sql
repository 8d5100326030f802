DROP INDEX messages_expiry;

DROP INDEX messages_blocking;

DROP INDEX messages_turn;

DROP INDEX messages_outbox;

CREATE INDEX messages_outbox ON messages (whatsapp_session_id, id) WHERE state = 'accepted';

ALTER TABLE messages DROP COLUMN forgotten;
