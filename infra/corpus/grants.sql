-- Grants on collections and documents. Row security lets curators and administrators alone see and change them.

-- name: collection
SELECT id, NULL::uuid FROM fiel.collections WHERE tenant = fiel.caller_tenant() AND name = %(target)s

-- name: document
SELECT d.collection, d.id
  FROM fiel.documents AS d JOIN fiel.audiences AS a ON a.id = d.audience AND a.acl && (SELECT fiel.caller_grants())
 WHERE d.tenant = fiel.caller_tenant() AND d.id = %(target)s::uuid AND d.deleted_at IS NULL

-- name: lock
SELECT pg_advisory_xact_lock(hashtextextended(%(collection)s::text, 20119))

-- name: grant
INSERT INTO fiel.access_grants (tenant, collection, document, grantee, granted_by)
SELECT fiel.caller_tenant(), %(collection)s, %(document)s::uuid, unnest(fiel.grant_ids(ARRAY[%(grantee)s::text])),
    fiel.caller()
    ON CONFLICT DO NOTHING

-- name: revoke
DELETE FROM fiel.access_grants
 WHERE collection = %(collection)s AND document IS NOT DISTINCT FROM %(document)s::uuid
   AND grantee = (SELECT id FROM fiel.grant_names WHERE tenant = fiel.caller_tenant() AND name = %(grantee)s)

-- name: apply_collection
-- Audiences that the name is new to, or leaves; the trigger takes the grants as they stand now. How many chunks they have.
WITH changed AS (
    UPDATE fiel.audiences SET acl = acl
     WHERE tenant = fiel.caller_tenant() AND collection = %(collection)s AND inherits
       AND NOT base @> (SELECT array_agg(id) FROM fiel.grant_names
                         WHERE tenant = fiel.caller_tenant() AND name = %(grantee)s)
    RETURNING id
)
SELECT coalesce(sum(n.chunks), 0)::bigint
  FROM changed JOIN fiel.shelves AS s ON s.audience = changed.id JOIN fiel.shelf_counts AS n ON n.shelf = s.id

-- name: apply_document
-- The triggers choose the audience and move the chunks. How many there are, unless the readers are as before.
WITH changed AS (
    UPDATE fiel.documents SET allowed = allowed WHERE id = %(document)s RETURNING id, collection, allowed
)
SELECT count(*)
  FROM changed AS d JOIN fiel.chunks AS c ON c.document = d.id
  JOIN fiel.grant_names AS n ON n.tenant = fiel.caller_tenant() AND n.name = %(grantee)s
 WHERE n.id <> ALL (d.allowed)
   AND NOT EXISTS (SELECT FROM fiel.access_grants AS g
                    WHERE g.collection = d.collection AND g.document IS NULL AND g.grantee = n.id)

-- name: paths
-- Why: each name that opens the document, and by which path it came to stand there.
SELECT n.name, p.path
  FROM fiel.documents AS d
 CROSS JOIN LATERAL (
    SELECT unnest(d.allowed) AS id, 'ingest' AS path
    UNION ALL
    SELECT g.grantee, CASE WHEN g.document IS NULL THEN 'collection' ELSE 'document' END
      FROM fiel.access_grants AS g
     WHERE g.collection = d.collection AND (g.document IS NULL OR g.document = d.id)
 ) AS p
  JOIN fiel.grant_names AS n ON n.tenant = d.tenant AND n.id = p.id
 WHERE d.tenant = fiel.caller_tenant() AND d.id = %(document)s::uuid
 ORDER BY p.path, n.name
