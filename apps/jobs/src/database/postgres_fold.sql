-- Writes changes to the tables, and empties the log, which has them: one statement, one round trip. Each change concerns other
-- rows. Rows may be there already: they were written, and the connection was lost before the reply.
--
-- Returns whether the run is still that of the owner. If it is not, nothing is written. The lock on the row makes the next owner
-- wait until this transaction has ended.
WITH
fence AS MATERIALIZED (SELECT FROM meta WHERE run = $61 FOR SHARE),
added_jobs AS (
    INSERT INTO jobs (number, run, queue, name, origin, priority, tries, earlier_tries, max_tries, retry, keep, added,
        ready, expires, is_out, body)
    SELECT * FROM UNNEST($1::bigint[], $2::bigint[], $3::bytea[], $4::bytea[], $5::bytea[], $6::bigint[], $7::bigint[],
        $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[],
        $15::bigint[], $16::bytea[])
    WHERE EXISTS (SELECT FROM fence)
    ON CONFLICT (number) DO UPDATE SET queue = excluded.queue, name = excluded.name, origin = excluded.origin,
        tries = excluded.tries, earlier_tries = excluded.earlier_tries, ready = excluded.ready,
        expires = excluded.expires, is_out = excluded.is_out
),
changed_jobs AS (
    UPDATE jobs SET queue = new.queue, name = new.name, origin = new.origin, tries = new.tries,
        earlier_tries = new.earlier_tries, ready = new.ready, expires = new.expires, is_out = new.is_out
    FROM UNNEST($17::bigint[], $18::bytea[], $19::bytea[], $20::bytea[], $21::bigint[], $22::bigint[], $23::bigint[],
        $24::bigint[], $25::bigint[])
        AS new (number, queue, name, origin, tries, earlier_tries, ready, expires, is_out)
    WHERE jobs.number = new.number AND EXISTS (SELECT FROM fence)
),
removed_jobs AS (DELETE FROM jobs WHERE number = ANY($26::bigint[]) AND EXISTS (SELECT FROM fence)),
added_results AS (
    INSERT INTO results (number, run, queue, name, until, result, failure)
    SELECT * FROM UNNEST($27::bigint[], $28::bigint[], $29::bytea[], $30::bytea[], $31::bigint[], $32::bytea[],
        $33::bytea[])
    WHERE EXISTS (SELECT FROM fence)
    ON CONFLICT (number) DO UPDATE SET run = excluded.run, queue = excluded.queue, name = excluded.name,
        until = excluded.until, result = excluded.result, failure = excluded.failure
),
removed_results AS (DELETE FROM results WHERE number = ANY($34::bigint[]) AND EXISTS (SELECT FROM fence)),
set_queues AS (
    INSERT INTO queues (name, paused, added, done, failed, requeued, dead, expired)
    SELECT * FROM UNNEST($35::bytea[], $36::bigint[], $37::bigint[], $38::bigint[], $39::bigint[], $40::bigint[],
        $41::bigint[], $42::bigint[])
    WHERE EXISTS (SELECT FROM fence)
    ON CONFLICT (name) DO UPDATE SET paused = excluded.paused, added = excluded.added, done = excluded.done,
        failed = excluded.failed, requeued = excluded.requeued, dead = excluded.dead, expired = excluded.expired
),
removed_queues AS (DELETE FROM queues WHERE name = ANY($43::bytea[]) AND EXISTS (SELECT FROM fence)),
set_schedules AS (
    INSERT INTO schedules (name, cron, zone, queue, body, retry, ttl, max_len, max_tries, keep, priority, next,
        last_run, last_number, added, skipped)
    SELECT * FROM UNNEST($44::bytea[], $45::text[], $46::text[], $47::bytea[], $48::bytea[], $49::bigint[],
        $50::bigint[], $51::bigint[], $52::bigint[], $53::bigint[], $54::bigint[], $55::bigint[], $56::bigint[],
        $57::bigint[], $58::bigint[], $59::bigint[])
    WHERE EXISTS (SELECT FROM fence)
    ON CONFLICT (name) DO UPDATE SET cron = excluded.cron, zone = excluded.zone, queue = excluded.queue,
        body = excluded.body, retry = excluded.retry, ttl = excluded.ttl, max_len = excluded.max_len,
        max_tries = excluded.max_tries, keep = excluded.keep, priority = excluded.priority, next = excluded.next,
        last_run = excluded.last_run, last_number = excluded.last_number, added = excluded.added,
        skipped = excluded.skipped
),
removed_schedules AS (DELETE FROM schedules WHERE name = ANY($60::bytea[]) AND EXISTS (SELECT FROM fence)),
emptied_log AS (DELETE FROM log WHERE position BETWEEN $62 AND $63 AND EXISTS (SELECT FROM fence))
SELECT EXISTS (SELECT FROM fence)
