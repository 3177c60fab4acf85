-- name: start
-- The fast path: on a thread that is free the run begins at once. No row: the thread is busy, or is not there.
WITH thread AS (
    UPDATE fiel.threads
       SET status = 'busy', metadata = metadata || %(mark)s, updated_at = clock_timestamp(), expires_at = NULL
     WHERE tenant = %(tenant)s AND owner = %(owner)s AND thread_id = %(thread_id)s AND status <> 'busy'
    RETURNING tenant, owner, thread_id, told
), run AS (
    INSERT INTO fiel.thread_runs (
        run_id, tenant, owner, thread_id, assistant_id, graph_id, status, kwargs, metadata, multitask_strategy,
        temporary, attempt, told_before
    )
    SELECT %(run_id)s, tenant, owner, thread_id, %(assistant_id)s, %(graph_id)s, 'running', %(kwargs)s, %(metadata)s,
           %(multitask_strategy)s, %(temporary)s, 1, told
      FROM thread
    RETURNING created_at, updated_at
), claim AS (
    INSERT INTO fiel.run_claims (run_id, tenant, owner, thread_id, worker)
    SELECT %(run_id)s, tenant, owner, thread_id, %(worker)s FROM thread
)
SELECT created_at, updated_at FROM run

-- name: start_new
-- The same, and the thread is made where there is none.
WITH thread AS (
    INSERT INTO fiel.threads AS t (tenant, owner, thread_id, status, temporary, metadata)
    VALUES (%(tenant)s, %(owner)s, %(thread_id)s, 'busy', %(temporary)s, %(mark)s)
        ON CONFLICT (tenant, owner, thread_id) DO UPDATE
            SET status = 'busy', metadata = t.metadata || excluded.metadata, updated_at = clock_timestamp(),
                expires_at = NULL
          WHERE t.status <> 'busy'
    RETURNING tenant, owner, thread_id, told
), run AS (
    INSERT INTO fiel.thread_runs (
        run_id, tenant, owner, thread_id, assistant_id, graph_id, status, kwargs, metadata, multitask_strategy,
        temporary, attempt, told_before
    )
    SELECT %(run_id)s, tenant, owner, thread_id, %(assistant_id)s, %(graph_id)s, 'running', %(kwargs)s, %(metadata)s,
           %(multitask_strategy)s, %(temporary)s, 1, told
      FROM thread
    RETURNING created_at, updated_at
), claim AS (
    INSERT INTO fiel.run_claims (run_id, tenant, owner, thread_id, worker)
    SELECT %(run_id)s, tenant, owner, thread_id, %(worker)s FROM thread
)
SELECT created_at, updated_at FROM run

-- name: make_thread
INSERT INTO fiel.threads (tenant, owner, thread_id, temporary, metadata)
VALUES (%(tenant)s, %(owner)s, %(thread_id)s, %(temporary)s, %(mark)s)
    ON CONFLICT DO NOTHING

-- name: lock
-- Whoever changes what goes on on a thread holds its row. What is read afterwards is current: each statement of a
-- transaction sees what was committed before it began.
SELECT status
  FROM fiel.threads
 WHERE tenant = %(tenant)s AND owner = %(owner)s AND thread_id = %(thread_id)s
   FOR UPDATE

-- name: inflight
SELECT run_id, status, not_before <= clock_timestamp() AS due
  FROM fiel.thread_runs
 WHERE tenant = %(tenant)s AND owner = %(owner)s AND thread_id = %(thread_id)s AND status IN ('pending', 'running')
 ORDER BY created_at, run_id

-- name: enqueue
WITH thread AS (
    UPDATE fiel.threads
       SET status = 'busy', metadata = metadata || %(mark)s, updated_at = clock_timestamp(), expires_at = NULL
     WHERE tenant = %(tenant)s AND owner = %(owner)s AND thread_id = %(thread_id)s
)
INSERT INTO fiel.thread_runs (
    run_id, tenant, owner, thread_id, assistant_id, graph_id, status, kwargs, metadata, multitask_strategy, temporary,
    not_before
)
VALUES (
    %(run_id)s, %(tenant)s, %(owner)s, %(thread_id)s, %(assistant_id)s, %(graph_id)s, 'pending', %(kwargs)s,
    %(metadata)s, %(multitask_strategy)s, %(temporary)s, clock_timestamp() + %(after)s * interval '1 second'
)
ON CONFLICT (run_id) DO NOTHING
RETURNING created_at, updated_at, not_before

-- name: next
-- The thread's next run begins here, if none goes on and one is due. The caller holds the thread's row.
WITH next AS (
    SELECT run_id
      FROM fiel.thread_runs
     WHERE tenant = %(tenant)s AND owner = %(owner)s AND thread_id = %(thread_id)s
       AND status = 'pending' AND not_before <= clock_timestamp()
       AND NOT EXISTS (
           SELECT FROM fiel.thread_runs
            WHERE tenant = %(tenant)s AND owner = %(owner)s AND thread_id = %(thread_id)s AND status = 'running'
       )
     ORDER BY created_at, run_id
     LIMIT 1
), run AS (
    UPDATE fiel.thread_runs r
       SET status = 'running',
           attempt = attempt + 1,
           told_before = CASE WHEN attempt = 0 THEN t.told ELSE told_before END,
           updated_at = clock_timestamp()
      FROM next, fiel.threads t
     WHERE r.run_id = next.run_id AND r.tenant = %(tenant)s AND r.owner = %(owner)s
       AND t.tenant = %(tenant)s AND t.owner = %(owner)s AND t.thread_id = %(thread_id)s
    RETURNING r.*
), claim AS (
    INSERT INTO fiel.run_claims (run_id, tenant, owner, thread_id, worker, said)
    SELECT run_id, tenant, owner, thread_id, %(worker)s, coalesce(said, '{}') FROM run
)
SELECT run_id, thread_id, assistant_id, graph_id, status, kwargs, metadata, multitask_strategy, temporary, created_at,
       updated_at, attempt, error, said
  FROM run

-- name: finish
-- A run has ended. No row: it is no longer this process' to end. The caller holds the thread's row.
WITH claim AS (
    DELETE FROM fiel.run_claims WHERE run_id = %(run_id)s AND worker = %(worker)s RETURNING run_id
), run AS (
    UPDATE fiel.thread_runs r
       SET status = %(status)s, error = %(error)s, updated_at = clock_timestamp()
      FROM claim
     WHERE r.run_id = claim.run_id AND r.tenant = %(tenant)s AND r.owner = %(owner)s
    RETURNING r.thread_id
), waiting AS (
    SELECT count(*) AS runs, coalesce(bool_or(not_before <= clock_timestamp()), false) AS due
      FROM fiel.thread_runs
     WHERE tenant = %(tenant)s AND owner = %(owner)s AND thread_id = %(thread_id)s AND status = 'pending'
), thread AS (
    UPDATE fiel.threads t
       SET status = CASE WHEN waiting.runs > 0 THEN 'busy' ELSE %(thread_status)s END,
           values = coalesce(%(values)s, t.values),
           interrupts = CASE WHEN %(values)s::bytea IS NULL THEN t.interrupts ELSE %(interrupts)s END,
           error = %(error)s,
           told = t.told + 1 + coalesce((SELECT max(seq) FROM fiel.run_events WHERE run_id = %(run_id)s), 0),
           updated_at = clock_timestamp(),
           state_updated_at = clock_timestamp(),
           expires_at = clock_timestamp() + coalesce(%(linger)s, ttl_minutes * 60) * interval '1 second',
           ttl_strategy = CASE WHEN %(linger)s::float8 IS NULL THEN ttl_strategy ELSE 'delete' END
      FROM run, waiting
     WHERE t.tenant = %(tenant)s AND t.owner = %(owner)s AND t.thread_id = %(thread_id)s
)
SELECT waiting.due FROM run, waiting

-- name: settle
-- The thread's status, after one of its runs was removed. The caller holds the thread's row.
UPDATE fiel.threads t
   SET status = CASE
           WHEN EXISTS (
               SELECT FROM fiel.thread_runs
                WHERE tenant = %(tenant)s AND owner = %(owner)s AND thread_id = %(thread_id)s
                  AND status IN ('pending', 'running')
           ) THEN 'busy'
           ELSE coalesce(%(thread_status)s, CASE WHEN status = 'busy' THEN 'idle' ELSE status END)
       END,
       values = coalesce(%(values)s, t.values),
       interrupts = CASE WHEN %(values)s::bytea IS NULL THEN t.interrupts ELSE %(interrupts)s END,
       updated_at = clock_timestamp(),
       expires_at = clock_timestamp() + ttl_minutes * interval '1 minute'
 WHERE tenant = %(tenant)s AND owner = %(owner)s AND thread_id = %(thread_id)s

-- name: release_claim
-- A process gives a run back (its own), or the sweep takes it from one that is gone. The caller holds the thread's row.
WITH claim AS (
    DELETE FROM fiel.run_claims WHERE run_id = %(run_id)s AND worker = %(worker)s RETURNING run_id, said
)
UPDATE fiel.thread_runs r
   SET status = 'pending', said = claim.said, updated_at = clock_timestamp()
  FROM claim
 WHERE r.run_id = claim.run_id AND r.tenant = %(tenant)s AND r.owner = %(owner)s AND r.status = 'running'
RETURNING r.attempt, r.temporary

-- name: withdraw
-- A run that has not begun, or was given back, never will. The caller holds the thread's row.
WITH told AS (
    SELECT r.thread_id, count(*) + count(DISTINCT r.run_id) AS events
      FROM fiel.thread_runs r JOIN fiel.run_events e USING (run_id)
     WHERE r.tenant = %(tenant)s AND r.owner = %(owner)s AND r.run_id = ANY (%(run_ids)s) AND r.status = 'pending'
     GROUP BY r.thread_id
), thread AS (
    UPDATE fiel.threads t
       SET told = t.told + told.events
      FROM told
     WHERE t.tenant = %(tenant)s AND t.owner = %(owner)s AND t.thread_id = told.thread_id
)
UPDATE fiel.thread_runs
   SET status = 'interrupted', updated_at = clock_timestamp()
 WHERE tenant = %(tenant)s AND owner = %(owner)s AND run_id = ANY (%(run_ids)s) AND status = 'pending'

-- name: remove
-- What a run has told that did not end is counted now, once it is gone; of others it is counted already.
WITH told AS (
    SELECT count(*) + count(DISTINCT r.run_id) AS events
      FROM fiel.thread_runs r JOIN fiel.run_events e USING (run_id)
     WHERE r.tenant = %(tenant)s AND r.owner = %(owner)s AND r.thread_id = %(thread_id)s
       AND r.run_id = ANY (%(run_ids)s) AND r.status = 'pending' AND r.status = ANY (%(statuses)s)
), thread AS (
    UPDATE fiel.threads t
       SET told = t.told + told.events
      FROM told
     WHERE t.tenant = %(tenant)s AND t.owner = %(owner)s AND t.thread_id = %(thread_id)s AND told.events > 0
)
DELETE FROM fiel.thread_runs
 WHERE tenant = %(tenant)s AND owner = %(owner)s AND thread_id = %(thread_id)s AND run_id = ANY (%(run_ids)s)
   AND status = ANY (%(statuses)s)
RETURNING run_id

-- name: ask_to_stop
-- The process that works on a run looks here. The first wish counts, but rollback is more than interrupt.
UPDATE fiel.run_claims
   SET cancel = CASE WHEN cancel = 'rollback' THEN cancel ELSE %(action)s END
 WHERE tenant = %(tenant)s AND owner = %(owner)s AND run_id = ANY (%(run_ids)s)

-- name: claimed
-- What a process works on, and which of it is to stop.
SELECT run_id, tenant, owner, thread_id, cancel FROM fiel.run_claims WHERE worker = %(worker)s

-- name: orphans
-- Claims of processes that have not been heard for as long as a lease lasts.
SELECT c.run_id, c.tenant, c.owner, c.thread_id, c.worker, c.cancel
  FROM fiel.run_claims c
 WHERE NOT EXISTS (
           SELECT FROM fiel_queue.procrastinate_workers w
            WHERE w.id = c.worker AND w.last_heartbeat > now() - %(lease)s * interval '1 second'
       )
 ORDER BY c.claimed_at
 LIMIT %(limit)s

-- name: get
SELECT run_id, thread_id, assistant_id, graph_id, status, kwargs, metadata, multitask_strategy, temporary, created_at,
       updated_at, attempt, error, said
  FROM fiel.thread_runs
 WHERE tenant = %(tenant)s AND owner = %(owner)s AND run_id = %(run_id)s
   AND (%(thread_id)s::uuid IS NULL OR thread_id = %(thread_id)s)

-- name: list
SELECT run_id, thread_id, assistant_id, graph_id, status, kwargs, metadata, multitask_strategy, temporary, created_at,
       updated_at, attempt, error, said
  FROM fiel.thread_runs
 WHERE tenant = %(tenant)s AND owner = %(owner)s AND thread_id = %(thread_id)s
   AND (%(status)s::text IS NULL OR status = %(status)s)
 ORDER BY created_at DESC, run_id DESC
 LIMIT %(limit)s OFFSET %(offset)s

-- name: to_cancel
-- Those of the caller's runs that are meant and have not ended.
SELECT run_id, thread_id, status
  FROM fiel.thread_runs
 WHERE tenant = %(tenant)s AND owner = %(owner)s
   AND status = ANY (%(statuses)s)
   AND (%(thread_id)s::uuid IS NULL OR thread_id = %(thread_id)s)
   AND (%(run_ids)s::uuid[] IS NULL OR run_id = ANY (%(run_ids)s))
 ORDER BY thread_id, created_at, run_id

-- name: forget_thread
DELETE FROM fiel.threads
 WHERE tenant = %(tenant)s AND owner = %(owner)s AND thread_id = %(thread_id)s AND temporary
   AND NOT EXISTS (
       SELECT FROM fiel.thread_runs
        WHERE tenant = %(tenant)s AND owner = %(owner)s AND thread_id = %(thread_id)s
          AND status IN ('pending', 'running')
   )

-- name: status
-- Whether a run goes on, for those who wait for it.
SELECT status FROM fiel.thread_runs WHERE tenant = %(tenant)s AND owner = %(owner)s AND run_id = %(run_id)s

-- name: ended_thread
-- What a thread shows after its run.
SELECT t.status, t.values, t.interrupts, r.status AS run_status, r.error
  FROM fiel.thread_runs r JOIN fiel.threads t USING (tenant, owner, thread_id)
 WHERE r.tenant = %(tenant)s AND r.owner = %(owner)s AND r.run_id = %(run_id)s

-- name: begun
-- A thread's runs that have begun, in order, where the events of each begin, and how many it has so far.
SELECT r.run_id, r.status, r.told_before AS before,
       coalesce((
           SELECT max(e.seq)
             FROM fiel.run_events e
            WHERE e.tenant = r.tenant AND e.owner = r.owner AND e.run_id = r.run_id
       ), 0) AS last
  FROM fiel.thread_runs r
 WHERE r.tenant = %(tenant)s AND r.owner = %(owner)s AND r.thread_id = %(thread_id)s AND r.status <> 'pending'
 ORDER BY r.told_before, r.created_at, r.run_id
