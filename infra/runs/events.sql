-- name: write
-- Events of many runs and what their graphs have kept by then, only of those that this process works on; everybody who
-- reads one of them is told. Which runs are worked on, by whom. The end of a run makes all of them durable; what a crash
-- of the server loses before is written again by the process that has it.
WITH quick AS (
    SELECT set_config('synchronous_commit', 'off', true)
), written AS (
    INSERT INTO fiel.run_events (run_id, seq, tenant, owner, event, data)
    SELECT c.run_id, e.seq, c.tenant, c.owner, e.event, e.data
      FROM unnest(%(runs)s::uuid[], %(seqs)s::int8[], %(events)s::text[], %(data)s::bytea[], %(workers)s::int8[])
           AS e (run_id, seq, event, data, worker)
      JOIN fiel.run_claims c ON c.run_id = e.run_id AND c.worker = e.worker
        ON CONFLICT DO NOTHING
), marked AS (
    UPDATE fiel.run_claims c
       SET said = m.said::jsonb
      FROM unnest(%(marked)s::uuid[], %(said)s::text[], %(markers)s::int8[]) AS m (run_id, said, worker)
     WHERE c.run_id = m.run_id AND c.worker = m.worker
), claimed AS (
    SELECT array_agg(run_id) AS runs, array_agg(worker) AS workers
      FROM fiel.run_claims WHERE run_id = ANY (%(all)s::uuid[])
)
SELECT claimed.runs, claimed.workers, pg_notify('fiel_runs', told)
  FROM quick, claimed, unnest(%(told)s::text[]) AS told

-- name: read
SELECT seq, event, data
  FROM fiel.run_events
 WHERE tenant = %(tenant)s AND owner = %(owner)s AND run_id = %(run_id)s AND seq > %(after)s
 ORDER BY seq
 LIMIT %(limit)s

-- name: last
SELECT coalesce(max(seq), 0) AS seq
  FROM fiel.run_events
 WHERE tenant = %(tenant)s AND owner = %(owner)s AND run_id = %(run_id)s

-- name: add
-- The last word on a run that no process works on.
INSERT INTO fiel.run_events (run_id, seq, tenant, owner, event, data)
SELECT %(run_id)s, coalesce(max(seq), 0) + 1, %(tenant)s, %(owner)s, %(event)s, %(data)s
  FROM fiel.run_events
 WHERE tenant = %(tenant)s AND owner = %(owner)s AND run_id = %(run_id)s

-- name: tell
SELECT pg_notify('fiel_runs', told) FROM unnest(%(told)s::text[]) AS told

-- name: forget_old
-- Events of runs that ended long ago, of one owner.
DELETE FROM fiel.run_events e
 USING fiel.thread_runs r
 WHERE e.tenant = %(tenant)s AND e.owner = %(owner)s AND r.run_id = e.run_id
   AND r.status NOT IN ('pending', 'running') AND r.updated_at < clock_timestamp() - %(age)s * interval '1 second'
