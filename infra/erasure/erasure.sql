-- name: live
-- Keys that are to be destroyed; nobody else destroys them meanwhile.
SELECT id FROM fiel.subject_keys
 WHERE tenant = %(tenant)s AND subject = %(subject)s AND wrapped IS NOT NULL
 ORDER BY id
   FOR UPDATE

-- name: begin
INSERT INTO fiel.erasures (act, tenant, subject) VALUES (%(act)s, %(tenant)s, %(subject)s) RETURNING begun

-- name: open
-- Begun and not finished.
SELECT act, tenant, subject, begun FROM fiel.erasures
 WHERE finished IS NULL AND (%(tenant)s::text IS NULL OR (tenant, subject) = (%(tenant)s, %(subject)s))
 ORDER BY begun
 LIMIT 100

-- name: finish
UPDATE fiel.erasures SET finished = clock_timestamp() WHERE act = %(act)s

-- name: settling
-- Finished, and every process has forgotten the keys since.
SELECT act, tenant, subject, begun FROM fiel.erasures
 WHERE swept IS NULL AND finished IS NOT NULL AND begun < clock_timestamp() - %(seconds)s * interval '1 second'
 ORDER BY begun
 LIMIT 100

-- name: settle
UPDATE fiel.erasures SET swept = clock_timestamp() WHERE act = %(act)s

-- name: threads
SELECT thread_id FROM fiel.threads WHERE tenant = %(tenant)s AND owner = %(subject)s AND created_at <= %(begun)s

-- name: recorded_threads
-- What the ledger knows of threads that have no row: those that the command line names. Whoever looks again leaves
-- those alone that were used since.
SELECT thread FROM fiel.runs
 WHERE tenant = %(tenant)s AND caller = %(subject)s AND thread <> ''
 GROUP BY thread
HAVING CASE WHEN %(again)s THEN max(started) ELSE min(started) END <= fiel.microseconds(%(begun)s)

-- name: has_checkpoints
SELECT to_regclass('fiel.checkpoints') IS NOT NULL

-- name: delete_checkpoint_writes
DELETE FROM fiel.checkpoint_writes WHERE thread_id = ANY (%(threads)s)

-- name: delete_checkpoint_blobs
DELETE FROM fiel.checkpoint_blobs WHERE thread_id = ANY (%(threads)s)

-- name: delete_checkpoints
DELETE FROM fiel.checkpoints WHERE thread_id = ANY (%(threads)s)

-- name: delete_threads
-- Their runs, events and reviews go with them.
DELETE FROM fiel.threads WHERE tenant = %(tenant)s AND owner = %(subject)s AND created_at <= %(begun)s

-- name: delete_crons
DELETE FROM fiel.crons WHERE tenant = %(tenant)s AND owner = %(subject)s AND created_at <= %(begun)s

-- name: delete_items
DELETE FROM fiel.items WHERE tenant = %(tenant)s AND owner = %(subject)s AND created_at <= %(begun)s

-- name: delete_assistants
DELETE FROM fiel.assistants WHERE tenant = %(tenant)s AND owner = %(subject)s AND created_at <= %(begun)s

-- name: delete_claimed
DELETE FROM fiel.claimed WHERE tenant = %(tenant)s AND name = %(subject)s AND seen_at <= %(begun)s

-- name: delete_rulings
-- What the person wrote as a reviewer of others; the decision and its code stay.
UPDATE fiel.reviews SET ruling = NULL
 WHERE tenant = %(tenant)s AND decided_by = %(subject)s AND decided_at <= %(begun)s AND ruling IS NOT NULL

-- name: ship_alone
-- Whoever ships has ended what it was about, and takes nothing of this afterwards.
SELECT pg_advisory_xact_lock(1718183276, 1), pg_advisory_xact_lock(1718183276, 2)

-- name: delete_spans
DELETE FROM fiel.spans WHERE run IN (SELECT fiel.runs_before(%(tenant)s, %(subject)s, %(begun)s))

-- name: delete_drafts
DELETE FROM fiel.drafts WHERE run IN (SELECT fiel.runs_before(%(tenant)s, %(subject)s, %(begun)s))

-- name: delete_assessments
-- What the person says, and what others say about the person's runs.
DELETE FROM fiel.assessments
 WHERE feedback_id IN (
       SELECT feedback_id FROM fiel.feedback
        WHERE tenant = %(tenant)s AND at <= %(begun)s
          AND (principal = %(subject)s OR run IN (SELECT fiel.runs_before(%(tenant)s, %(subject)s, %(begun)s)))
       )

-- name: delete_feedback
SELECT fiel.erase_feedback(%(act)s)

-- name: queue_traces
INSERT INTO fiel.trace_removals (run)
SELECT fiel.runs_before(%(tenant)s, %(subject)s, %(begun)s)
    ON CONFLICT DO NOTHING
