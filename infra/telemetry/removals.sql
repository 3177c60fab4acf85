-- name: take
SELECT run FROM fiel.trace_removals WHERE due <= clock_timestamp() ORDER BY due, run LIMIT %s FOR UPDATE SKIP LOCKED

-- name: removed
DELETE FROM fiel.trace_removals WHERE run = ANY (%s)

-- name: later
UPDATE fiel.trace_removals
   SET tries = tries + 1, due = clock_timestamp() + least(3600, 2 ^ least(tries, 12)) * interval '1 second'
 WHERE run = ANY (%s)

-- name: waiting
SELECT count(*) FROM fiel.trace_removals
