-- name: find
SELECT id::text, tenant, principal, groups, roles FROM fiel.token_of(%s)

-- name: now
SELECT tenant, principal, groups, roles FROM fiel.token_now(%s)

-- name: has_administrator
SELECT fiel.has_administrator(%s)

-- name: lock
-- Two first starts at once make one administrator.
SELECT pg_advisory_xact_lock(7241339103)

-- name: kept
-- Held, so that the user is not removed before the token is there to end with it.
SELECT FROM fiel.users WHERE tenant = fiel.caller_tenant() AND name = %(user)s FOR KEY SHARE

-- name: create
INSERT INTO fiel.tokens (tenant, principal, groups, roles, hash, expires_at, rotates)
VALUES (%(tenant)s, %(principal)s, %(groups)s, %(roles)s, %(hash)s,
        clock_timestamp() + make_interval(secs => %(seconds)s::float8), %(rotates)s)
RETURNING id::text, tenant, principal, groups, roles, created_at, expires_at, revoked_at, last_used_at

-- name: all
SELECT id::text, tenant, principal, groups, roles, created_at, expires_at, revoked_at, last_used_at
  FROM fiel.tokens
 WHERE tenant = %(tenant)s
   AND (%(dead)s OR revoked_at IS NULL AND coalesce(expires_at > clock_timestamp(), true))
 ORDER BY created_at, id

-- name: one
SELECT id::text, tenant, principal, groups, roles, created_at, expires_at, revoked_at, last_used_at
  FROM fiel.tokens
 WHERE tenant = %(tenant)s AND id = %(id)s AND revoked_at IS NULL AND coalesce(expires_at > clock_timestamp(), true)
   FOR UPDATE

-- name: revoke
UPDATE fiel.tokens SET revoked_at = clock_timestamp()
 WHERE tenant = %(tenant)s AND id = %(id)s AND revoked_at IS NULL
RETURNING id::text, tenant, principal, groups, roles, created_at, expires_at, revoked_at, last_used_at

-- name: expire
UPDATE fiel.tokens
   SET expires_at = least(expires_at, clock_timestamp() + make_interval(secs => %(grace)s::float8))
 WHERE tenant = %(tenant)s AND id = %(id)s
