-- name: lock
SELECT pg_try_advisory_xact_lock(1718183276, 1)

-- name: take
SELECT id, run, key, data FROM fiel.spans WHERE refused = '' ORDER BY id LIMIT %s

-- name: forget
-- Spans whose key was destroyed go nowhere, whoever still remembers the key.
DELETE FROM fiel.spans s USING fiel.subject_keys k WHERE k.id = s.key AND k.erased IS NOT NULL

-- name: shipped
DELETE FROM fiel.spans WHERE id = ANY (%s)

-- name: refuse
UPDATE fiel.spans SET refused = %s WHERE id = %s

-- name: again
UPDATE fiel.spans SET refused = '' WHERE refused <> ''

-- name: backlog
SELECT count(*) FILTER (WHERE refused = ''), count(*) FILTER (WHERE refused <> ''),
       coalesce(extract(epoch FROM clock_timestamp() - min(at) FILTER (WHERE refused = '')), 0)::float8
  FROM fiel.spans
