-- Grants on collections and documents. Row security lets curators and administrators alone see and change them.

-- name: collection
SELECT id, NULL::uuid FROM fiel.collections WHERE tenant = fiel.caller_tenant() AND name = %(target)s

-- name: document
SELECT collection, id FROM fiel.documents
 WHERE tenant = fiel.caller_tenant() AND id = %(target)s::uuid AND deleted_at IS NULL
   AND acl && (SELECT fiel.caller_grants())

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

-- name: apply_documents
-- The trigger adds the grants as they stand now.
UPDATE fiel.documents SET acl = allowed
 WHERE collection = %(collection)s AND (%(document)s::uuid IS NULL OR id = %(document)s::uuid) AND deleted_at IS NULL

-- name: apply_chunks
UPDATE fiel.chunks AS c SET acl = d.acl
  FROM fiel.documents AS d
 WHERE d.collection = %(collection)s AND (%(document)s::uuid IS NULL OR d.id = %(document)s::uuid)
   AND c.document = d.id AND c.acl <> d.acl

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
