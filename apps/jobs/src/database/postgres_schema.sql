-- Changes that the tables do not have yet: an entry for each commit, in their order.
CREATE TABLE log (position BIGINT PRIMARY KEY, changes BYTEA NOT NULL);
-- An entry is small, and short-lived: to compress it would cost more than it saves.
ALTER TABLE log ALTER COLUMN changes SET STORAGE EXTERNAL;
