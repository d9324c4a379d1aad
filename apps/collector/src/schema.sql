-- How it was made: what is newer is made by steps that are not there yet.
PRAGMA user_version = 1;

CREATE TABLE IF NOT EXISTS streams (
    id INTEGER PRIMARY KEY,
    name BLOB NOT NULL UNIQUE,
    last_ms INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    max_deleted_ms INTEGER NOT NULL,
    max_deleted_seq INTEGER NOT NULL,
    length INTEGER NOT NULL,
    added INTEGER NOT NULL
) STRICT;

-- Of streams that are no more, until they have been removed.
CREATE TABLE IF NOT EXISTS garbage (stream INTEGER PRIMARY KEY) STRICT;

CREATE TABLE IF NOT EXISTS entries (
    stream INTEGER NOT NULL,
    ms INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    fields ANY NOT NULL,
    PRIMARY KEY (stream, ms, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS groups (
    id INTEGER PRIMARY KEY,
    stream INTEGER NOT NULL,
    name BLOB NOT NULL,
    last_ms INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    -- How many events it has read, if that is known.
    read INTEGER,
    UNIQUE (stream, name)
) STRICT;

CREATE TABLE IF NOT EXISTS consumers (
    id INTEGER PRIMARY KEY,
    group_id INTEGER NOT NULL,
    name BLOB NOT NULL,
    -- Milliseconds since 1970.
    seen INTEGER NOT NULL,
    UNIQUE (group_id, name)
) STRICT;

-- What was delivered and has not been acknowledged.
CREATE TABLE IF NOT EXISTS pending (
    group_id INTEGER NOT NULL,
    ms INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    consumer INTEGER NOT NULL,
    delivered INTEGER NOT NULL,
    deliveries INTEGER NOT NULL,
    PRIMARY KEY (group_id, ms, seq)
) STRICT, WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS pending_of_consumers ON pending (consumer, ms, seq);

-- For people: the stream by its name, the time in UTC, the fields as JSON.
CREATE VIEW IF NOT EXISTS events AS
    SELECT CAST(streams.name AS TEXT) AS stream,
           entries.ms || '-' || entries.seq AS id,
           datetime(entries.ms / 1000, 'unixepoch') AS time,
           entries.ms,
           entries.fields
    FROM entries JOIN streams ON streams.id = entries.stream;
