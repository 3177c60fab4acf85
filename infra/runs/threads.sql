-- name: create
-- No row: one with this id is there.
INSERT INTO fiel.threads (
    tenant, owner, thread_id, status, metadata, config, values, interrupts, ttl_strategy, ttl_minutes, expires_at
)
VALUES (
    %(tenant)s, %(owner)s, %(thread_id)s, %(status)s, %(metadata)s, %(config)s, %(values)s, %(interrupts)s,
    %(ttl_strategy)s, %(ttl_minutes)s, clock_timestamp() + %(ttl_minutes)s * interval '1 minute'
)
ON CONFLICT DO NOTHING
RETURNING thread_id, status, metadata, config, values, interrupts, created_at, updated_at, state_updated_at,
          ttl_strategy, ttl_minutes, expires_at

-- name: get
SELECT thread_id, status, metadata, config, values, interrupts, created_at, updated_at, state_updated_at,
       ttl_strategy, ttl_minutes, expires_at
  FROM fiel.threads
 WHERE tenant = %(tenant)s AND owner = %(owner)s AND thread_id = %(thread_id)s

-- name: brief
SELECT metadata, config
  FROM fiel.threads
 WHERE tenant = %(tenant)s AND owner = %(owner)s AND thread_id = %(thread_id)s

-- name: update
UPDATE fiel.threads
   SET metadata = metadata || %(metadata)s,
       ttl_strategy = coalesce(%(ttl_strategy)s, ttl_strategy),
       ttl_minutes = coalesce(%(ttl_minutes)s, ttl_minutes),
       expires_at = coalesce(clock_timestamp() + %(ttl_minutes)s * interval '1 minute', expires_at),
       updated_at = clock_timestamp()
 WHERE tenant = %(tenant)s AND owner = %(owner)s AND thread_id = %(thread_id)s
RETURNING thread_id, status, metadata, config, values, interrupts, created_at, updated_at, state_updated_at,
          ttl_strategy, ttl_minutes, expires_at

-- name: lock
-- Until the end of the transaction no run begins on the thread. Whoever starts a run locks the same row.
SELECT t.metadata, t.config,
       EXISTS (
           SELECT FROM fiel.thread_runs r
            WHERE r.tenant = t.tenant AND r.owner = t.owner AND r.thread_id = t.thread_id
              AND r.status IN ('pending', 'running')
       ) AS busy
  FROM fiel.threads t
 WHERE t.tenant = %(tenant)s AND t.owner = %(owner)s AND t.thread_id = %(thread_id)s
   FOR UPDATE OF t

-- name: keep_state
UPDATE fiel.threads
   SET status = %(status)s,
       values = %(values)s,
       interrupts = %(interrupts)s,
       metadata = metadata || %(metadata)s,
       error = NULL,
       updated_at = clock_timestamp(),
       state_updated_at = clock_timestamp(),
       expires_at = coalesce(clock_timestamp() + ttl_minutes * interval '1 minute', expires_at)
 WHERE tenant = %(tenant)s AND owner = %(owner)s AND thread_id = %(thread_id)s

-- name: search
-- Values and interrupts are left where they lie unless somebody looks at them.
SELECT thread_id, status, metadata, config, created_at, updated_at, state_updated_at, ttl_strategy, ttl_minutes,
       expires_at,
       CASE WHEN %(sealed)s THEN values END AS values,
       CASE WHEN %(sealed)s THEN interrupts END AS interrupts
  FROM fiel.threads
 WHERE tenant = %(tenant)s AND owner = %(owner)s
   AND NOT temporary
   AND (%(ids)s::uuid[] IS NULL OR thread_id = ANY (%(ids)s))
   AND (%(status)s::text IS NULL OR status = %(status)s)
   AND metadata @> %(metadata)s
 ORDER BY {order}
 LIMIT %(limit)s OFFSET %(offset)s

-- name: count
SELECT count(*) AS count
  FROM fiel.threads
 WHERE tenant = %(tenant)s AND owner = %(owner)s
   AND NOT temporary
   AND (%(ids)s::uuid[] IS NULL OR thread_id = ANY (%(ids)s))
   AND (%(status)s::text IS NULL OR status = %(status)s)
   AND metadata @> %(metadata)s

-- name: of_assistant
SELECT thread_id
  FROM fiel.threads
 WHERE tenant = %(tenant)s AND owner = %(owner)s AND metadata @> %(metadata)s

-- name: delete
DELETE FROM fiel.threads
 WHERE tenant = %(tenant)s AND owner = %(owner)s AND thread_id = %(thread_id)s

-- name: pruned
-- Nothing is left to prune until the thread is used again.
UPDATE fiel.threads
   SET expires_at = NULL
 WHERE tenant = %(tenant)s AND owner = %(owner)s AND thread_id = %(thread_id)s

-- name: expired
-- Whether a thread is due, and what is to be done.
SELECT ttl_strategy
  FROM fiel.threads
 WHERE tenant = %(tenant)s AND owner = %(owner)s AND thread_id = %(thread_id)s
   AND expires_at <= clock_timestamp()
