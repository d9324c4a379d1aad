-- The tables, in the types of SQLite. `postgres.rs` replaces them by those of PostgreSQL.
--
-- Times are in milliseconds, and times of day in milliseconds since 1970.

-- The owner of the jobs: a new run for each start, and the epoch of its partition. A process writes only while the run is its own.
CREATE TABLE IF NOT EXISTS meta (
    version INTEGER NOT NULL,
    run INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    partitions INTEGER NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    queue BLOB NOT NULL,
    name BLOB,
    -- The queue that a dead job belongs to.
    origin BLOB,
    priority INTEGER NOT NULL,
    tries INTEGER NOT NULL,
    earlier_tries INTEGER NOT NULL,
    max_tries INTEGER,
    retry INTEGER,
    keep INTEGER,
    added INTEGER NOT NULL,
    -- The time at which the job becomes ready, or became ready. It gives the order of a queue.
    ready INTEGER NOT NULL,
    expires INTEGER,
    -- 1 if a worker has the job, else 0.
    is_out INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS results (
    number INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    queue BLOB,
    name BLOB,
    until INTEGER NOT NULL,
    result BLOB,
    failure BLOB
) STRICT;

CREATE TABLE IF NOT EXISTS queues (
    name BLOB PRIMARY KEY,
    paused INTEGER NOT NULL,
    added INTEGER NOT NULL,
    done INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    requeued INTEGER NOT NULL,
    dead INTEGER NOT NULL,
    expired INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS schedules (
    name BLOB PRIMARY KEY,
    cron TEXT NOT NULL,
    zone TEXT,
    queue BLOB NOT NULL,
    body BLOB NOT NULL,
    retry INTEGER,
    ttl INTEGER,
    max_len INTEGER,
    max_tries INTEGER,
    keep INTEGER,
    priority INTEGER NOT NULL,
    next INTEGER NOT NULL,
    last_run INTEGER,
    last_number INTEGER,
    added INTEGER NOT NULL,
    skipped INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
