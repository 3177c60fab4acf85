-- name: lock
SELECT pg_try_advisory_xact_lock(7241339105)

-- name: alone
SELECT pg_advisory_xact_lock(7241339105)

-- name: sealed
-- The next seals of each tenant behind the last one that is indexed. The tenants are hopped over, not counted through.
WITH RECURSIVE tenants AS (
    (SELECT tenant FROM fiel.seals ORDER BY tenant LIMIT 1)
    UNION ALL
    SELECT (SELECT s.tenant FROM fiel.seals s WHERE s.tenant > t.tenant ORDER BY s.tenant LIMIT 1)
      FROM tenants t
     WHERE t.tenant IS NOT NULL
)
SELECT t.tenant, s.number, s.leaves
  FROM tenants t
  LEFT JOIN fiel.lineage_places p ON p.tenant = t.tenant
 CROSS JOIN LATERAL (
           SELECT number, leaves FROM fiel.seals
            WHERE tenant = t.tenant AND number > coalesce(p.seal, 0)
            ORDER BY number
            LIMIT %(most)s
       ) s
 WHERE t.tenant IS NOT NULL
 ORDER BY t.tenant, s.number

-- name: runs
SELECT run::text, tenant, caller, started, resumes::text, resumes_seq FROM fiel.runs WHERE run = ANY (%(runs)s::uuid[])

-- name: entries
SELECT run::text, seq, body FROM fiel.entries WHERE run = ANY (%(runs)s::uuid[]) ORDER BY run, seq

-- name: frames
SELECT run::text, key, data FROM fiel.frames WHERE run = ANY (%(runs)s::uuid[]) AND data <> '' ORDER BY run, seq

-- name: hold
-- Whoever destroys one of these keys waits, and then finds what was indexed.
SELECT FROM fiel.subject_keys WHERE id = ANY (%(keys)s) ORDER BY id FOR SHARE

-- name: again
-- A run that was indexed before it ended, since it had shown the beginning of its answer.
DELETE FROM fiel.lineage WHERE tenant = fiel.caller_tenant() AND run = ANY (%(runs)s::uuid[])

-- name: add
-- Nothing of a run whose key was destroyed meanwhile: this process may still remember it.
INSERT INTO fiel.lineage (tenant, document, version, run, caller, started, outcome, chunks, sentences, key)
SELECT %(tenant)s, %(document)s, %(version)s, %(run)s, %(caller)s, %(started)s, %(outcome)s, %(chunks)s::uuid[],
       %(sentences)s::int[], %(key)s
 WHERE NOT EXISTS (SELECT FROM fiel.subject_keys WHERE id = %(key)s AND erased IS NOT NULL)
    ON CONFLICT DO NOTHING

-- name: place
INSERT INTO fiel.lineage_places (tenant, seal) VALUES (%(tenant)s, %(seal)s)
    ON CONFLICT (tenant) DO UPDATE SET seal = excluded.seal

-- name: clear
DELETE FROM fiel.lineage WHERE tenant = %(tenant)s

-- name: begin
DELETE FROM fiel.lineage_places WHERE tenant = %(tenant)s
