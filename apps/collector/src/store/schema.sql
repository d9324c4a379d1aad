-- Version of the schema. `migrate` in `database.rs` brings a database of an earlier version here.
PRAGMA user_version = 4;

-- The last event that the warehouse is known to have is `shipped`, and `shipped_added` events were ever added up to it.
CREATE TABLE IF NOT EXISTS streams (
    id INTEGER PRIMARY KEY,
    name BLOB NOT NULL UNIQUE,
    last_ms INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    max_deleted_ms INTEGER NOT NULL,
    max_deleted_seq INTEGER NOT NULL,
    length INTEGER NOT NULL,
    added INTEGER NOT NULL,
    shipped_ms INTEGER NOT NULL DEFAULT 0,
    shipped_seq INTEGER NOT NULL DEFAULT 0,
    shipped_added INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE IF NOT EXISTS meta (
    -- A random name of this data, by which the warehouse knows it.
    folder TEXT NOT NULL,
    -- The greatest number of a stream that was removed with all its events. No stream gets a number twice.
    last_removed INTEGER NOT NULL
) STRICT;

INSERT INTO meta SELECT lower(hex(randomblob(16))), 0 WHERE NOT EXISTS (SELECT * FROM meta);

-- Removed streams with events that remain to be removed.
CREATE TABLE IF NOT EXISTS garbage (stream INTEGER PRIMARY KEY) STRICT;

CREATE TABLE IF NOT EXISTS entries (
    stream INTEGER NOT NULL,
    ms INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    fields ANY NOT NULL,
    -- CRC-32 of stream, ms, seq (eight bytes each, big-endian) and the bytes of fields. NULL: not checked.
    crc INTEGER,
    PRIMARY KEY (stream, ms, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS groups (
    id INTEGER PRIMARY KEY,
    stream INTEGER NOT NULL,
    name BLOB NOT NULL,
    last_ms INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    -- Number of events that were read, if it is known.
    read INTEGER,
    UNIQUE (stream, name)
) STRICT;

CREATE TABLE IF NOT EXISTS consumers (
    id INTEGER PRIMARY KEY,
    group_id INTEGER NOT NULL,
    name BLOB NOT NULL,
    -- Milliseconds since 1970.
    seen INTEGER NOT NULL,
    -- NULL if it never got an event.
    active INTEGER,
    UNIQUE (group_id, name)
) STRICT;

-- Delivered events that are not acknowledged.
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

CREATE TABLE IF NOT EXISTS strings (
    key BLOB PRIMARY KEY,
    value BLOB NOT NULL,
    -- Milliseconds since 1970. NULL if it does not expire.
    deadline INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS deadlines ON strings (deadline) WHERE deadline IS NOT NULL;

-- For queries by people: the name of the stream, the time in UTC, and the fields as JSON.
CREATE VIEW IF NOT EXISTS events AS
    SELECT CAST(streams.name AS TEXT) AS stream,
           entries.ms || '-' || entries.seq AS id,
           datetime(entries.ms / 1000, 'unixepoch') AS time,
           entries.ms,
           entries.fields
    FROM entries JOIN streams ON streams.id = entries.stream;
