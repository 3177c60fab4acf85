-- name: lock
SELECT pg_try_advisory_xact_lock(7241339104)

-- name: wait
SELECT pg_advisory_xact_lock(7241339104) IS NOT NULL

-- name: take
DELETE FROM fiel.unsealed WHERE place IN (SELECT place FROM fiel.unsealed ORDER BY place LIMIT %s)
RETURNING place, tenant, leaf

-- name: tip
SELECT number, hash FROM fiel.seals WHERE tenant = %s ORDER BY number DESC LIMIT 1

-- name: seal
INSERT INTO fiel.seals (tenant, number, hash, body, leaves) VALUES (%s, %s, %s, %s, %s)

-- name: age
SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(at)), 0)::float8 FROM fiel.unsealed

-- name: unsigned
SELECT s.tenant, max(s.number) FROM fiel.seals s GROUP BY s.tenant
HAVING max(s.number) > coalesce((SELECT max(h.number) FROM fiel.heads h WHERE h.tenant = s.tenant), 0)

-- name: head
INSERT INTO fiel.heads (tenant, number, body, signature) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING
