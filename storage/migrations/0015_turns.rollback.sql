DROP INDEX messages_expiry;

DROP INDEX messages_blocking;

DROP INDEX messages_turn;

DROP INDEX messages_ready;

ALTER TABLE messages DROP COLUMN forgotten;
