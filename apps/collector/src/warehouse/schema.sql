CREATE TABLE collector.meta (
    version BIGINT NOT NULL,
    -- The first day that can have a partition of its own.
    first_day BIGINT NOT NULL
);

-- A row for each name of a collector, with the folder of its data.
CREATE TABLE collector.collectors (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    folder TEXT NOT NULL,
    -- Counts the connections that ship its events. Only the last one may.
    epoch BIGINT NOT NULL,
    -- When it has last shipped events.
    shipped TIMESTAMPTZ
);

-- The last event of each stream that is in the table of events.
CREATE TABLE collector.positions (
    collector BIGINT NOT NULL REFERENCES collector.collectors ON DELETE CASCADE,
    number BIGINT NOT NULL,
    stream TEXT NOT NULL,
    ms BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    -- Number of events that were ever added to the stream up to this one.
    added BIGINT NOT NULL,
    PRIMARY KEY (collector, number)
);

CREATE TABLE collector.events (
    -- The time of the id; infinity if it is more than a day ahead.
    time TIMESTAMPTZ NOT NULL,
    collector TEXT NOT NULL,
    stream TEXT NOT NULL,
    -- The two parts of the id.
    ms BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    fields JSONB NOT NULL,
    -- Names and values in turn, if they are not text without NUL, or if a name is repeated. Otherwise NULL.
    raw BYTEA[]
) PARTITION BY RANGE (time);

CREATE INDEX ON collector.events (stream, time);
