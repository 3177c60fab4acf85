-- Asked for a caller, each query finds what that caller may read at this moment. It says so itself and row security says it
-- again, so that neither wall stands alone.

-- name: collection
SELECT c.name
  FROM fiel.collections c
 WHERE c.tenant = (SELECT fiel.caller_tenant()) AND c.name = $1
   AND ((SELECT fiel.caller_curates()) OR EXISTS (
       SELECT FROM fiel.shelves s JOIN fiel.audiences a ON a.id = s.audience AND a.acl && (SELECT fiel.caller_grants())
        WHERE s.collection = c.id
          AND (SELECT sum(n.chunks) FROM fiel.shelf_counts n WHERE n.shelf = s.id) > 0
       ))

-- name: documents
SELECT d.id::text AS id
  FROM fiel.documents d
  JOIN fiel.audiences a ON a.id = d.audience AND a.acl && (SELECT fiel.caller_grants())
 WHERE d.tenant = (SELECT fiel.caller_tenant()) AND d.id = ANY($1::uuid[])
