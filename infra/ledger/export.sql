-- name: seals
SELECT number, hash, body, leaves FROM fiel.seals WHERE tenant = %(tenant)s ORDER BY number

-- name: waiting
SELECT leaf FROM fiel.unsealed WHERE tenant = %(tenant)s ORDER BY place

-- name: runs
SELECT run::text, tenant, thread, caller, resumes::text, resumes_seq, started FROM fiel.runs
 WHERE tenant = %(tenant)s AND (%(run)s::uuid IS NULL OR run = %(run)s::uuid) AND started >= %(since)s
 ORDER BY started, run

-- name: entries
SELECT e.run::text, e.seq, e.hash, e.body FROM fiel.entries e LEFT JOIN fiel.runs r USING (run)
 WHERE (r.run IS NULL AND %(run)s::uuid IS NULL AND %(since)s = 0)
    OR (r.tenant = %(tenant)s AND (%(run)s::uuid IS NULL OR run = %(run)s::uuid) AND r.started >= %(since)s)
 ORDER BY e.run, e.seq

-- name: frames
SELECT f.run::text, f.seq, f.head, f.key, f.data FROM fiel.frames f LEFT JOIN fiel.runs r USING (run)
 WHERE (r.run IS NULL AND %(run)s::uuid IS NULL AND %(since)s = 0)
    OR (r.tenant = %(tenant)s AND (%(run)s::uuid IS NULL OR run = %(run)s::uuid) AND r.started >= %(since)s)
 ORDER BY f.run, f.seq

-- name: acts
SELECT act::text, tenant, principal, kind, subject, at, hash, body FROM fiel.acts
 WHERE tenant = %(tenant)s AND %(run)s::uuid IS NULL AND at >= %(since)s ORDER BY at, act

-- name: heads
SELECT number, body, signature FROM fiel.heads WHERE tenant = %(tenant)s ORDER BY number

-- name: keys
-- The keys under which the tenant's contents lie, and what has become of each. `k.id` is NULL for one that the database
-- does not have: the master key of old contents, or one that is lost. `d` is the person's key of digests.
SELECT f.key, f.count, f.run::text, k.id IS NOT NULL, k.erased IS NOT NULL, fiel.microseconds(k.erased), k.master,
       k.wrapped, d.id, d.master, d.wrapped
  FROM (
       SELECT f.key, count(*), min(f.run::text) AS run FROM fiel.frames f JOIN fiel.runs r USING (run)
        WHERE r.tenant = %(tenant)s AND f.data <> ''
        GROUP BY f.key
       ) f
  LEFT JOIN fiel.subject_keys k ON k.id = f.key AND k.tenant = %(tenant)s
  LEFT JOIN fiel.subject_keys d ON d.tenant = k.tenant AND d.subject = k.subject AND d.collection = ''
                               AND d.day IS NULL AND d.wrapped IS NOT NULL
 ORDER BY f.key
