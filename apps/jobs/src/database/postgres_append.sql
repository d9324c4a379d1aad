-- Adds an entry to the log, unless the jobs have another owner. The lock on the row makes the next owner wait until this
-- transaction has ended. The entry may be there already: the connection was lost before the reply.
INSERT INTO log SELECT $2, $3 FROM meta WHERE run = $1 FOR SHARE
ON CONFLICT (position) DO UPDATE SET changes = excluded.changes
