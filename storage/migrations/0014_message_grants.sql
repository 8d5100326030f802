-- depends: 0013_outbox
-- Which messages a phone number was allowed to hand over: one row an attempt, committed together
-- with the message's `sending`, so that no crash and no restart lets more through. Of a number, not
-- of a session: sessions of one number share its caps, and a session that is deleted takes nothing
-- with it. Times are those of limiter_log; those of another boot are given this boot's when the
-- limiter starts. A grant goes when it counts no more.
CREATE TABLE message_grants (
    number TEXT NOT NULL CHECK (number <> '' AND number NOT GLOB '*[^0-9]*'),
    key TEXT NOT NULL,
    boot_id TEXT NOT NULL,
    boot_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (number, key)
) STRICT, WITHOUT ROWID;

-- Every number that has ever been granted one, with the day of its warm-up: the day-th began then.
CREATE TABLE sending_numbers (
    number TEXT PRIMARY KEY CHECK (number <> '' AND number NOT GLOB '*[^0-9]*'),
    day INTEGER NOT NULL CHECK (day >= 1),
    boot_id TEXT NOT NULL,
    boot_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
