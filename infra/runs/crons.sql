-- name: create
INSERT INTO fiel.crons (
    tenant, owner, cron_id, assistant_id, thread_id, schedule, timezone, end_time, enabled, on_run_completed, payload,
    metadata, next_run_at
)
VALUES (
    %(tenant)s, %(owner)s, %(cron_id)s, %(assistant_id)s, %(thread_id)s, %(schedule)s, %(timezone)s, %(end_time)s,
    %(enabled)s, %(on_run_completed)s, %(payload)s, %(metadata)s, %(next_run_at)s
)
RETURNING cron_id, assistant_id, thread_id, schedule, timezone, end_time, enabled, on_run_completed, payload, metadata,
          next_run_at, created_at, updated_at

-- name: thread
SELECT thread_id
  FROM fiel.threads
 WHERE tenant = %(tenant)s AND owner = %(owner)s AND thread_id = %(thread_id)s
   FOR KEY SHARE

-- name: get
SELECT cron_id, assistant_id, thread_id, schedule, timezone, end_time, enabled, on_run_completed, payload, metadata,
       next_run_at, created_at, updated_at
  FROM fiel.crons
 WHERE tenant = %(tenant)s AND owner = %(owner)s AND cron_id = %(cron_id)s

-- name: lock
SELECT cron_id, assistant_id, thread_id, schedule, timezone, end_time, enabled, on_run_completed, payload, metadata,
       next_run_at, created_at, updated_at
  FROM fiel.crons
 WHERE tenant = %(tenant)s AND owner = %(owner)s AND cron_id = %(cron_id)s
   FOR UPDATE

-- name: due
-- A cron that is to fire, by the clock that said so: those of processes may differ.
SELECT cron_id, assistant_id, thread_id, schedule, timezone, end_time, enabled, on_run_completed, payload, metadata,
       next_run_at, created_at, updated_at, clock_timestamp() AS now
  FROM fiel.crons
 WHERE tenant = %(tenant)s AND owner = %(owner)s AND cron_id = %(cron_id)s
   AND next_run_at <= clock_timestamp()
   FOR UPDATE

-- name: update
UPDATE fiel.crons
   SET schedule = %(schedule)s,
       timezone = %(timezone)s,
       end_time = %(end_time)s,
       enabled = %(enabled)s,
       on_run_completed = %(on_run_completed)s,
       payload = %(payload)s,
       metadata = %(metadata)s,
       next_run_at = %(next_run_at)s,
       updated_at = clock_timestamp()
 WHERE tenant = %(tenant)s AND owner = %(owner)s AND cron_id = %(cron_id)s
RETURNING cron_id, assistant_id, thread_id, schedule, timezone, end_time, enabled, on_run_completed, payload, metadata,
          next_run_at, created_at, updated_at

-- name: delete
DELETE FROM fiel.crons
 WHERE tenant = %(tenant)s AND owner = %(owner)s AND cron_id = %(cron_id)s

-- name: search
SELECT cron_id, assistant_id, thread_id, schedule, timezone, end_time, enabled, on_run_completed, payload, metadata,
       next_run_at, created_at, updated_at
  FROM fiel.crons
 WHERE tenant = %(tenant)s AND owner = %(owner)s
   AND (%(assistant_id)s::uuid IS NULL OR assistant_id = %(assistant_id)s)
   AND (%(thread_id)s::uuid IS NULL OR thread_id = %(thread_id)s)
   AND (%(enabled)s::boolean IS NULL OR enabled = %(enabled)s)
   AND metadata @> %(metadata)s
 ORDER BY {order}
 LIMIT %(limit)s OFFSET %(offset)s

-- name: count
SELECT count(*) AS count
  FROM fiel.crons
 WHERE tenant = %(tenant)s AND owner = %(owner)s
   AND (%(assistant_id)s::uuid IS NULL OR assistant_id = %(assistant_id)s)
   AND (%(thread_id)s::uuid IS NULL OR thread_id = %(thread_id)s)
   AND (%(enabled)s::boolean IS NULL OR enabled = %(enabled)s)
   AND metadata @> %(metadata)s

-- name: advance
UPDATE fiel.crons
   SET next_run_at = %(next_run_at)s
 WHERE tenant = %(tenant)s AND owner = %(owner)s AND cron_id = %(cron_id)s
