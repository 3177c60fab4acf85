-- Where a run's events stand in the stream of its thread. Counting what is left does not tell: once a run is rolled back or
-- removed, or old events are forgotten, whoever joins again with the number of the last event that they saw would be
-- counted into a later run, and miss its beginning.

ALTER TABLE fiel.threads ADD COLUMN told bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN fiel.threads.told IS
    'Events in the stream of the thread so far, of runs that have ended or were removed: an end counts as one.';
ALTER TABLE fiel.thread_runs ADD COLUMN told_before bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN fiel.thread_runs.told_before IS 'The same, when the run began: its first event has the next number.';

ALTER TABLE fiel.threads NO FORCE ROW LEVEL SECURITY;
ALTER TABLE fiel.thread_runs NO FORCE ROW LEVEL SECURITY;
ALTER TABLE fiel.run_events NO FORCE ROW LEVEL SECURITY;
WITH events AS (
    SELECT run_id, max(seq) AS last FROM fiel.run_events GROUP BY run_id
), counted AS (
    SELECT r.run_id,
           sum(coalesce(e.last, 0) + 1) OVER (
               PARTITION BY r.tenant, r.owner, r.thread_id ORDER BY r.created_at, r.run_id
           ) - coalesce(e.last, 0) - 1 AS before
      FROM fiel.thread_runs r LEFT JOIN events e USING (run_id)
     WHERE r.status <> 'pending'
)
UPDATE fiel.thread_runs r SET told_before = counted.before FROM counted WHERE r.run_id = counted.run_id;
WITH ended AS (
    SELECT r.tenant, r.owner, r.thread_id, max(r.told_before + 1 + coalesce(e.last, 0)) AS told
      FROM fiel.thread_runs r
      LEFT JOIN (SELECT run_id, max(seq) AS last FROM fiel.run_events GROUP BY run_id) e USING (run_id)
     WHERE r.status NOT IN ('pending', 'running')
     GROUP BY r.tenant, r.owner, r.thread_id
)
UPDATE fiel.threads t SET told = ended.told
  FROM ended
 WHERE (t.tenant, t.owner, t.thread_id) = (ended.tenant, ended.owner, ended.thread_id);
ALTER TABLE fiel.threads FORCE ROW LEVEL SECURITY;
ALTER TABLE fiel.thread_runs FORCE ROW LEVEL SECURITY;
ALTER TABLE fiel.run_events FORCE ROW LEVEL SECURITY;
