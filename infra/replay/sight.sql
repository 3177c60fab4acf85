-- Row security decides: asked for a caller, each query finds what that caller may read at this moment.

-- name: collection
SELECT name FROM fiel.collections WHERE name = $1

-- name: documents
SELECT id::text AS id FROM fiel.documents WHERE id = ANY($1::uuid[])
