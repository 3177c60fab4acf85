-- name: runs
-- Runs of a tenant in the order of their beginning, behind the last one that was seen.
SELECT run::text, started FROM fiel.runs
 WHERE tenant = %(tenant)s AND started >= %(since)s AND (started, run) > (%(after)s, %(last)s::uuid)
 ORDER BY started, run
 LIMIT %(limit)s

-- name: waiting
-- Runs that have spans on their way (and whether MLflow refuses some), and those whose traces are still to be removed.
SELECT run::text, bool_or(refuses)
  FROM (
        SELECT run, refused <> '' AS refuses FROM fiel.spans WHERE run = ANY (%(runs)s::uuid[])
        UNION ALL
        SELECT run, false FROM fiel.trace_removals WHERE run = ANY (%(runs)s::uuid[])
       ) AS underway
 GROUP BY run

-- name: known
SELECT run::text FROM fiel.runs WHERE run = ANY (%(runs)s::uuid[])
