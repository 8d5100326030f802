CREATE INDEX messages_state ON messages (direction, state);

CREATE INDEX messages_sending ON messages (whatsapp_session_id) WHERE state = 'sending';

CREATE INDEX messages_outbox ON messages (whatsapp_session_id, id) WHERE state = 'accepted';
