-- depends: 0002_messages
-- A workspace is a tenant: every row of every other table belongs to one. Only the plans are shared.
-- uuid is the public id, a ULID; id never leaves the database. Times are milliseconds, UTC.
-- A plan's metadata holds its limits: sessions, messages (accepted in one day, UTC), webhooks; one
-- that is missing or null means that there is no limit.
CREATE TABLE subscription_plans (
    id INTEGER PRIMARY KEY,
    uuid TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL UNIQUE,
    metadata TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(metadata)),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    CHECK (coalesce(json_type(metadata, '$.sessions'), 'null') IN ('null', 'integer')),
    CHECK (coalesce(json_type(metadata, '$.messages'), 'null') IN ('null', 'integer')),
    CHECK (coalesce(json_type(metadata, '$.webhooks'), 'null') IN ('null', 'integer'))
) STRICT;

-- The times to live are milliseconds; NULL keeps for ever.
CREATE TABLE workspaces (
    id INTEGER PRIMARY KEY,
    uuid TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL UNIQUE,
    subscription_plan_id INTEGER NOT NULL REFERENCES subscription_plans (id),
    message_ttl INTEGER CHECK (message_ttl > 0),
    media_ttl INTEGER CHECK (media_ttl > 0),
    event_ttl INTEGER CHECK (event_ttl > 0),
    metadata TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(metadata)),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE INDEX workspaces_plan ON workspaces (subscription_plan_id);

-- What a day's limit is held against. A counter, since counting a day's messages again for each new
-- one would make the last of a day as dear as all before it. day is the number of days since the
-- epoch; retention and erasure never lower a counter.
CREATE TABLE workspace_usage (
    workspace_id INTEGER NOT NULL REFERENCES workspaces (id),
    day INTEGER NOT NULL,
    messages INTEGER NOT NULL DEFAULT 0 CHECK (messages >= 0),
    PRIMARY KEY (workspace_id, day)
) STRICT, WITHOUT ROWID;

-- The workspace of everything that was there before there were workspaces, and its plan. Their ids
-- are ULIDs made here: ten digits of time, sixteen of chance.
INSERT INTO subscription_plans (uuid, name, created_at, updated_at)
WITH RECURSIVE
    moment (ms) AS (SELECT CAST(strftime('%s', 'now') AS INTEGER) * 1000),
    digits (place, value) AS (
        SELECT 0, ms >> 45 & 31 FROM moment
        UNION ALL
        SELECT place + 1, iif(place < 9, ms >> (40 - 5 * place) & 31, random() & 31)
        FROM digits, moment WHERE place < 25
    ),
    id (uuid) AS (
        SELECT group_concat(substr('0123456789ABCDEFGHJKMNPQRSTVWXYZ', value + 1, 1), '')
        FROM (SELECT value FROM digits ORDER BY place)
    )
SELECT uuid, 'default', ms, ms FROM id, moment;

INSERT INTO workspaces (uuid, name, subscription_plan_id, created_at, updated_at)
WITH RECURSIVE
    moment (ms) AS (SELECT CAST(strftime('%s', 'now') AS INTEGER) * 1000),
    digits (place, value) AS (
        SELECT 0, ms >> 45 & 31 FROM moment
        UNION ALL
        SELECT place + 1, iif(place < 9, ms >> (40 - 5 * place) & 31, random() & 31)
        FROM digits, moment WHERE place < 25
    ),
    id (uuid) AS (
        SELECT group_concat(substr('0123456789ABCDEFGHJKMNPQRSTVWXYZ', value + 1, 1), '')
        FROM (SELECT value FROM digits ORDER BY place)
    )
SELECT id.uuid, 'default', p.id, ms, ms FROM id, moment, subscription_plans AS p
WHERE p.name = 'default';
