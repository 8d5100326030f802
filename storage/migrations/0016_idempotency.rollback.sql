DROP TABLE idempotency_items;

DROP TABLE idempotency_keys;
