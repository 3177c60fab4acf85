-- name: keep
INSERT INTO fiel.kept (kind, name, version, body)
SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::bytea[])
    ON CONFLICT DO NOTHING

-- name: of_name
SELECT version, body FROM fiel.kept WHERE kind = %s AND name = %s ORDER BY at DESC
