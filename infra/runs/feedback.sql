-- name: seen
-- The ledger's run, whichever of its attempts recorded anything: one's own, or any of the tenant for those who see them.
SELECT run
  FROM fiel.runs
 WHERE run = ANY (%(attempts)s) AND tenant = %(tenant)s AND (caller = %(principal)s OR %(every)s)
 LIMIT 1

-- name: of_thread
-- The protocol's run, which is there before the ledger has anything of it.
SELECT run_id
  FROM fiel.thread_runs
 WHERE tenant = %(tenant)s AND owner = %(principal)s AND run_id = %(run)s

-- name: give
INSERT INTO fiel.feedback (tenant, feedback_id, run, principal, score, key, data)
VALUES (%(tenant)s, %(feedback_id)s, %(run)s, %(principal)s, %(score)s, %(key)s, %(data)s)
RETURNING at

-- name: tell
INSERT INTO fiel.assessments (feedback_id, attempts, key, data)
VALUES (%(feedback_id)s, %(attempts)s, %(key)s, %(told)s)
