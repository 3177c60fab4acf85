-- name: append
-- What several runs commit at once, in one statement. `place` is the ordinal of a flush in the arrays of `flush`. An
-- entry that stands already makes the whole statement fail.
WITH flush AS (
    SELECT *
      FROM unnest(
               %s::text[]::uuid[], %s::text[], %s::text[], %s::text[], %s::text[]::uuid[], %s::int4[], %s::int8[],
               %s::text[], %s::int4[], %s::bytea[], %s::bytea[], %s::bytea[], %s::bytea[]
           ) WITH ORDINALITY
           AS f (run, tenant, thread, caller, resumes, resumes_seq, started, key, seq, head, frame, spans, leaf, place)
), runs AS (
    INSERT INTO fiel.runs (run, tenant, thread, caller, resumes, resumes_seq, started)
    SELECT run, tenant, thread, caller, resumes, resumes_seq, started FROM flush
        ON CONFLICT DO NOTHING
), entries AS (
    INSERT INTO fiel.entries (run, seq, hash, body)
    SELECT f.run, e.seq, e.hash, e.body
      FROM unnest(%s::int4[], %s::int4[], %s::bytea[], %s::bytea[]) AS e (place, seq, hash, body)
      JOIN flush f USING (place)
), frames AS (
    INSERT INTO fiel.frames (run, seq, head, key, data)
    SELECT run, seq, head, key, frame FROM flush WHERE seq >= 0
), leaves AS (
    INSERT INTO fiel.unsealed (tenant, leaf)
    SELECT tenant, leaf FROM flush WHERE seq >= 0 ORDER BY place
), spans AS (
    INSERT INTO fiel.spans (run, key, data)
    SELECT run, key, spans FROM flush WHERE spans <> '' ORDER BY place
)
INSERT INTO fiel.drafts (run, digest, key, data)
SELECT f.run, decode(d.digest, 'hex'), f.key, d.data
  FROM unnest(%s::int4[], %s::text[], %s::bytea[]) AS d (place, digest, data)
  JOIN flush f USING (place)
    ON CONFLICT DO NOTHING

-- name: run
SELECT run, tenant, thread, caller, resumes, resumes_seq, started FROM fiel.runs WHERE run = %s

-- name: entries
SELECT seq, hash, body FROM fiel.entries WHERE run = %s ORDER BY seq

-- name: frames
SELECT key, data FROM fiel.frames WHERE run = %s AND data <> '' ORDER BY seq

-- name: draft
SELECT key, data FROM fiel.drafts WHERE run = %s AND digest = %s

-- name: thread
SELECT run, tenant, thread, caller, resumes, resumes_seq, started
  FROM fiel.runs
 WHERE tenant = %s AND thread = %s AND caller = %s AND thread <> ''
 ORDER BY started DESC
 LIMIT %s

-- name: keys
SELECT DISTINCT key FROM fiel.frames ORDER BY key

-- name: forget_drafts
DELETE FROM fiel.drafts WHERE at <= clock_timestamp() - make_interval(secs => %s)
