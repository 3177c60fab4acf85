-- Users, groups and memberships. Row security lets administrators change them, and shows everybody what stands about
-- themselves.

-- name: user
SELECT u.name, u.roles, ARRAY(
           SELECT m.group_name FROM fiel.members AS m WHERE m.tenant = u.tenant AND m.user_name = u.name ORDER BY 1
       ), u.added_by, u.added_at
  FROM fiel.users AS u
 WHERE u.tenant = fiel.caller_tenant() AND (%(user)s::text IS NULL OR u.name = %(user)s)
 ORDER BY u.name

-- name: groups
SELECT g.name, ARRAY(
           SELECT m.user_name FROM fiel.members AS m WHERE m.tenant = g.tenant AND m.group_name = g.name ORDER BY 1
       ), g.added_by, g.added_at
  FROM fiel.groups AS g
 WHERE g.tenant = fiel.caller_tenant() AND (%(group)s::text IS NULL OR g.name = %(group)s)
 ORDER BY g.name

-- name: add_user
INSERT INTO fiel.users (tenant, name, roles, added_by)
VALUES (fiel.caller_tenant(), %(user)s, %(roles)s, fiel.caller())
    ON CONFLICT DO NOTHING

-- name: set_roles
UPDATE fiel.users SET roles = %(roles)s
 WHERE tenant = fiel.caller_tenant() AND name = %(user)s AND roles <> %(roles)s

-- name: remove_user
DELETE FROM fiel.users WHERE tenant = fiel.caller_tenant() AND name = %(user)s

-- name: end_tokens
UPDATE fiel.tokens SET revoked_at = clock_timestamp()
 WHERE tenant = fiel.caller_tenant() AND principal = %(user)s AND revoked_at IS NULL
RETURNING id::text

-- name: add_group
INSERT INTO fiel.groups (tenant, name, added_by) VALUES (fiel.caller_tenant(), %(group)s, fiel.caller())
    ON CONFLICT DO NOTHING

-- name: remove_group
DELETE FROM fiel.groups WHERE tenant = fiel.caller_tenant() AND name = %(group)s

-- name: join
INSERT INTO fiel.members (tenant, group_name, user_name, added_by)
SELECT tenant, %(group)s, name, fiel.caller()
  FROM fiel.users WHERE tenant = fiel.caller_tenant() AND name = %(user)s
    ON CONFLICT DO NOTHING

-- name: leave
DELETE FROM fiel.members
 WHERE tenant = fiel.caller_tenant() AND group_name = %(group)s AND user_name = %(user)s

-- name: own
-- What stands about the caller: roles (null: no user of that name is kept), groups, and what their last token said.
SELECT u.roles AS kept, ARRAY(
           SELECT m.group_name FROM fiel.members AS m
            WHERE m.tenant = fiel.caller_tenant() AND m.user_name = fiel.caller() ORDER BY 1
       ) AS member, c.groups, c.roles, c.issued
  FROM (SELECT) AS caller
  LEFT JOIN fiel.users AS u ON u.tenant = fiel.caller_tenant() AND u.name = fiel.caller()
  LEFT JOIN fiel.claimed AS c ON c.tenant = fiel.caller_tenant() AND c.name = fiel.caller()

-- name: lock_claims
SELECT pg_advisory_xact_lock(hashtextextended(fiel.caller_tenant() || chr(31) || fiel.caller(), 20120))

-- name: claims
SELECT groups, roles, issued FROM fiel.claimed WHERE tenant = fiel.caller_tenant() AND name = fiel.caller()

-- name: keep_claims
INSERT INTO fiel.claimed (tenant, name, groups, roles, issued)
VALUES (fiel.caller_tenant(), fiel.caller(), %(groups)s, %(roles)s, %(issued)s)
    ON CONFLICT (tenant, name) DO UPDATE
   SET groups = excluded.groups, roles = excluded.roles, issued = excluded.issued, seen_at = clock_timestamp()
