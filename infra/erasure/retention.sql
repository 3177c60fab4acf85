-- name: tenants
SELECT DISTINCT tenant FROM fiel.subject_keys WHERE wrapped IS NOT NULL ORDER BY tenant

-- name: due
-- Keys of contents whose time is over; nobody else destroys them meanwhile.
SELECT id FROM fiel.subject_keys
 WHERE tenant = %(tenant)s AND day < %(before)s AND wrapped IS NOT NULL
   AND (%(collection)s::text IS NULL OR collection = %(collection)s)
 ORDER BY id
 LIMIT %(limit)s
   FOR UPDATE

-- name: runs
SELECT count(DISTINCT f.run) FROM fiel.frames f WHERE f.key = ANY (%(keys)s)

-- name: count
SELECT count(*), (
       SELECT count(DISTINCT f.run) FROM fiel.frames f JOIN fiel.subject_keys k ON k.id = f.key
        WHERE k.tenant = %(tenant)s AND k.day < %(before)s AND k.wrapped IS NOT NULL
          AND (%(collection)s::text IS NULL OR k.collection = %(collection)s)
       )
  FROM fiel.subject_keys
 WHERE tenant = %(tenant)s AND day < %(before)s AND wrapped IS NOT NULL
   AND (%(collection)s::text IS NULL OR collection = %(collection)s)

-- name: delete_spans
DELETE FROM fiel.spans WHERE key = ANY (%(keys)s)

-- name: delete_drafts
DELETE FROM fiel.drafts WHERE key = ANY (%(keys)s)

-- name: delete_assessments
DELETE FROM fiel.assessments WHERE key = ANY (%(keys)s)

-- name: queue_traces
INSERT INTO fiel.trace_removals (run)
SELECT DISTINCT run FROM fiel.frames WHERE key = ANY (%(keys)s)
    ON CONFLICT DO NOTHING

-- name: threads
-- Threads of which nothing can be read any more: every run that the ledger has of them lost its contents.
SELECT r.caller, r.thread
  FROM fiel.runs r JOIN fiel.frames f USING (run) LEFT JOIN fiel.subject_keys k ON k.id = f.key
 WHERE r.tenant = %(tenant)s AND r.thread <> ''
 GROUP BY r.caller, r.thread
HAVING bool_and(k.erased IS NOT NULL)

-- name: own_threads
SELECT thread_id FROM fiel.threads
 WHERE tenant = %(tenant)s AND owner = %(owner)s AND status <> 'busy' AND updated_at < %(before)s

-- name: delete_threads
DELETE FROM fiel.threads WHERE tenant = %(tenant)s AND owner = %(owner)s AND thread_id = ANY (%(ids)s)
