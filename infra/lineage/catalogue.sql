-- name: put
INSERT INTO fiel.catalogue_events (event) SELECT unnest(%(events)s::bytea[])

-- name: lock
SELECT pg_try_advisory_xact_lock(7241339106)

-- name: take
SELECT id, event, tries FROM fiel.catalogue_events WHERE due <= clock_timestamp() ORDER BY id LIMIT %(most)s

-- name: sent
DELETE FROM fiel.catalogue_events WHERE id = ANY (%(ids)s)

-- name: later
UPDATE fiel.catalogue_events
   SET tries = tries + 1, due = clock_timestamp() + %(seconds)s * interval '1 second', problem = %(problem)s
 WHERE id = %(id)s

-- name: now
SELECT clock_timestamp()

-- name: changed
-- What has changed since then of the documents of a source, as its curator sees them.
SELECT d.id::text, d.uri, d.version::text, d.deleted_at IS NOT NULL
  FROM fiel.sources s
  JOIN fiel.collections c ON c.id = s.collection AND c.name = %(collection)s
  JOIN fiel.documents d ON d.source = s.id
  JOIN fiel.versions v ON v.id = d.version
 WHERE s.tenant = (SELECT fiel.caller_tenant()) AND s.uri = %(source)s
   AND (v.created_at >= %(began)s OR d.deleted_at >= %(began)s)
 ORDER BY d.key

-- name: documents
SELECT count(*) FROM fiel.documents d JOIN fiel.collections c ON c.id = d.collection
 WHERE c.tenant = (SELECT fiel.caller_tenant()) AND c.name = %(collection)s AND d.deleted_at IS NULL
