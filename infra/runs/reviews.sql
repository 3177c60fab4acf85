-- name: ask
-- Of a run whose thread lasts; no row: nobody can be asked. Who asks again is given the same review.
INSERT INTO fiel.reviews (
    tenant, owner, review_id, thread_id, run_id, stage, subject, reason, policy, collection, language, dossier,
    expires_at, roles, own
)
SELECT r.tenant, r.owner, %(review_id)s, r.thread_id, r.run_id, %(stage)s, %(subject)s, %(reason)s, %(policy)s,
       %(collection)s, %(language)s, %(dossier)s, clock_timestamp() + %(hours)s * interval '1 hour', %(roles)s, %(own)s
  FROM fiel.thread_runs r
 WHERE r.tenant = %(tenant)s AND r.owner = %(owner)s AND r.run_id = %(run_id)s AND NOT r.temporary
ON CONFLICT (tenant, review_id) DO UPDATE SET review_id = excluded.review_id
RETURNING review_id

-- name: ruling
-- What was decided, for who waits.
SELECT review_id, subject, status, expires_at <= clock_timestamp() AS late, decided_by, decided_at, why, ruling
  FROM fiel.reviews
 WHERE tenant = %(tenant)s AND owner = %(owner)s AND review_id = %(review_id)s

-- name: list
-- What who looks may decide: `usual` are the roles of the reviews whose bundle names none.
SELECT tenant, owner, review_id, thread_id, run_id, stage, subject, reason, policy, collection, language, status,
       opened_at, expires_at, decided_by, decided_at, why, roles, own, NULL::bytea AS dossier
  FROM fiel.reviews
 WHERE tenant = %(tenant)s AND (%(status)s::text IS NULL OR status = %(status)s)
   AND coalesce(roles, %(usual)s::text[]) && %(mine)s::text[]
 ORDER BY opened_at DESC, review_id DESC
 LIMIT %(limit)s OFFSET %(offset)s

-- name: get
SELECT tenant, owner, review_id, thread_id, run_id, stage, subject, reason, policy, collection, language, status,
       opened_at, expires_at, decided_by, decided_at, why, roles, own, dossier
  FROM fiel.reviews
 WHERE tenant = %(tenant)s AND review_id = %(review_id)s

-- name: lock
-- The first decision counts: whoever decides holds the row.
SELECT tenant, owner, review_id, thread_id, run_id, stage, subject, reason, policy, collection, language, status,
       opened_at, expires_at, decided_by, decided_at, why, roles, own, dossier
  FROM fiel.reviews
 WHERE tenant = %(tenant)s AND review_id = %(review_id)s
   FOR UPDATE

-- name: decide
UPDATE fiel.reviews
   SET status = %(status)s, decided_by = %(by)s, decided_at = clock_timestamp(), why = %(why)s, ruling = %(ruling)s,
       dossier = NULL
 WHERE tenant = %(tenant)s AND review_id = %(review_id)s AND status = 'pending'
RETURNING tenant, owner, review_id, thread_id, run_id, stage, subject, reason, policy, collection, language, status,
          opened_at, expires_at, decided_by, decided_at, why, roles, own, dossier

-- name: act_as
-- From here on for the owner of the thread, whose run goes on.
SELECT fiel.act_as(%(tenant)s, %(owner)s, %(grants)s::text[])
