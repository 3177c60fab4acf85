-- name: lock
SELECT pg_try_advisory_xact_lock(1718183276, 2)

-- name: take
-- What is due and whose trace MLflow has: the ledger knows the run, and none of its spans waits.
SELECT a.id, a.feedback_id, a.key, a.data, a.tries, r.run
  FROM fiel.assessments a
 CROSS JOIN LATERAL (
           SELECT run FROM fiel.runs WHERE run = ANY (a.attempts) ORDER BY array_position(a.attempts, run) DESC LIMIT 1
       ) r
 WHERE a.due <= clock_timestamp()
   AND NOT EXISTS (SELECT FROM fiel.spans s WHERE s.refused = '' AND s.run = ANY (a.attempts))
 ORDER BY a.id
 LIMIT %s

-- name: shipped
DELETE FROM fiel.assessments WHERE id = ANY (%s)

-- name: later
UPDATE fiel.assessments
   SET tries = tries + 1, due = clock_timestamp() + %(seconds)s * interval '1 second', problem = %(problem)s
 WHERE id = %(id)s
