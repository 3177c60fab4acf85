-- Users, groups and who is in them, as the administrators of a tenant keep them; and what each user's last token of the
-- identity provider said of them.
--
-- A token of fiel's that names no roles has those of its user. Whoever calls is in the groups of their token and in those
-- that stand here. Both are looked up with each request.

CREATE OR REPLACE FUNCTION fiel.act_as(tenant text, principal text, names text[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('app.tenant', act_as.tenant, true), set_config('app.principal', act_as.principal, true),
        set_config('app.administers', ('role:administrator' = ANY (act_as.names))::text, true);
    PERFORM set_config('app.grants', coalesce(
        (SELECT array_agg(g.id ORDER BY g.id)::text
           FROM fiel.grant_names g
          WHERE g.tenant = act_as.tenant AND g.name = ANY (act_as.names)), '{}'), true);
END
$$;

CREATE FUNCTION fiel.caller_administers() RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE
    RETURN coalesce(current_setting('app.administers', true) = 'true', false);

CREATE TABLE fiel.users (
    tenant   text NOT NULL CHECK (tenant <> ''),
    name     text NOT NULL CHECK (name <> ''),
    roles    text[] NOT NULL,
    added_by text NOT NULL,
    added_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, name)
);

CREATE TABLE fiel.groups (
    tenant   text NOT NULL CHECK (tenant <> ''),
    name     text NOT NULL CHECK (name <> '' AND name NOT LIKE '%:%'),
    added_by text NOT NULL,
    added_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, name)
);
COMMENT ON COLUMN fiel.groups.name IS 'Without a colon, which marks the names of users and roles in access lists.';

CREATE TABLE fiel.members (
    tenant     text NOT NULL,
    group_name text NOT NULL,
    user_name  text NOT NULL,
    added_by   text NOT NULL,
    added_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, user_name, group_name),
    FOREIGN KEY (tenant, group_name) REFERENCES fiel.groups ON DELETE CASCADE,
    FOREIGN KEY (tenant, user_name) REFERENCES fiel.users ON DELETE CASCADE
);
CREATE INDEX members_of_group ON fiel.members (tenant, group_name);

CREATE TABLE fiel.claimed (
    tenant  text NOT NULL CHECK (tenant <> ''),
    name    text NOT NULL CHECK (name <> ''),
    groups  text[] NOT NULL,
    roles   text[] NOT NULL,
    issued  bigint NOT NULL,
    seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, name)
);
COMMENT ON TABLE fiel.claimed IS 'What the newest token of the identity provider said of a user, so that a change is seen once.';
COMMENT ON COLUMN fiel.claimed.issued IS 'When that token was issued, in seconds since 1970; an older one changes nothing here.';

-- Everybody sees what stands about themselves, administrators all of their tenant. Users and memberships are not forced
-- upon their owner: the function that finds a token runs as the owner, before there is a caller.

ALTER TABLE fiel.users ENABLE ROW LEVEL SECURITY;
ALTER TABLE fiel.members ENABLE ROW LEVEL SECURITY;
ALTER TABLE fiel.groups ENABLE ROW LEVEL SECURITY;
ALTER TABLE fiel.groups FORCE ROW LEVEL SECURITY;
ALTER TABLE fiel.claimed ENABLE ROW LEVEL SECURITY;
ALTER TABLE fiel.claimed FORCE ROW LEVEL SECURITY;

CREATE POLICY own ON fiel.users FOR SELECT USING (tenant = fiel.caller_tenant() AND name = fiel.caller());
CREATE POLICY administered ON fiel.users USING (tenant = fiel.caller_tenant() AND fiel.caller_administers());
CREATE POLICY own ON fiel.members FOR SELECT USING (tenant = fiel.caller_tenant() AND user_name = fiel.caller());
CREATE POLICY administered ON fiel.members USING (tenant = fiel.caller_tenant() AND fiel.caller_administers());
CREATE POLICY administered ON fiel.groups USING (tenant = fiel.caller_tenant() AND fiel.caller_administers());
CREATE POLICY own ON fiel.claimed USING (tenant = fiel.caller_tenant() AND name = fiel.caller());
CREATE POLICY administered ON fiel.claimed FOR SELECT
    USING (tenant = fiel.caller_tenant() AND fiel.caller_administers());

REVOKE ALL ON fiel.users, fiel.groups, fiel.members, fiel.claimed FROM fiel_runtime;
GRANT SELECT, INSERT, DELETE, UPDATE (roles) ON fiel.users TO fiel_runtime;
GRANT SELECT, INSERT, DELETE ON fiel.groups, fiel.members TO fiel_runtime;
GRANT SELECT, INSERT, UPDATE (groups, roles, issued, seen_at) ON fiel.claimed TO fiel_runtime;

-- Tokens -----------------------------------------------------------------------------------------------------------

ALTER TABLE fiel.tokens DROP CONSTRAINT tokens_roles_check;
COMMENT ON COLUMN fiel.tokens.roles IS 'Empty: those that the user has when the token is used.';

CREATE OR REPLACE FUNCTION fiel.token_of(sought bytea)
RETURNS TABLE (id uuid, tenant text, principal text, groups text[], roles text[])
LANGUAGE sql SECURITY DEFINER SET search_path = fiel, pg_catalog, pg_temp AS $$
    WITH used AS (
        UPDATE tokens t SET last_used_at = clock_timestamp()
         WHERE t.hash = sought AND t.revoked_at IS NULL AND coalesce(t.expires_at > clock_timestamp(), true)
           AND coalesce(t.last_used_at < clock_timestamp() - interval '1 minute', true)
    )
    SELECT t.id, t.tenant, t.principal,
           ARRAY(SELECT unnest(t.groups) UNION
                 SELECT m.group_name FROM members m WHERE m.tenant = t.tenant AND m.user_name = t.principal),
           CASE WHEN t.roles = '{}' THEN u.roles ELSE t.roles END
      FROM tokens t LEFT JOIN users u ON u.tenant = t.tenant AND u.name = t.principal
     WHERE t.hash = sought AND t.revoked_at IS NULL AND coalesce(t.expires_at > clock_timestamp(), true)
       AND (t.roles <> '{}' OR u.name IS NOT NULL)
$$;
