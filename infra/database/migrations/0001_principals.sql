-- Roles, the schema, and who asks.
--
-- Runs as the login that owns the database (a superuser, or one with CREATEROLE, or fiel_owner itself where the roles
-- exist already). Every later migration runs as fiel_owner, so what it creates belongs to fiel_owner without a word.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'vector') THEN
        CREATE EXTENSION vector;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'fiel_owner') THEN
        CREATE ROLE fiel_owner NOLOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'fiel_runtime') THEN
        CREATE ROLE fiel_runtime NOLOGIN;
    END IF;
    IF current_user <> 'fiel_owner' AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        EXECUTE format('GRANT fiel_owner, fiel_runtime TO %I', current_user);
    END IF;
    IF NOT has_database_privilege('fiel_owner', current_database(), 'CREATE') THEN
        EXECUTE format('GRANT CREATE ON DATABASE %I TO fiel_owner', current_database());
    END IF;
END
$$;

SET LOCAL ROLE fiel_owner;

CREATE SCHEMA fiel;
GRANT USAGE ON SCHEMA fiel TO fiel_runtime;
ALTER DEFAULT PRIVILEGES IN SCHEMA fiel GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO fiel_runtime;
ALTER DEFAULT PRIVILEGES IN SCHEMA fiel GRANT USAGE, SELECT ON SEQUENCES TO fiel_runtime;

-- Who asks, as set by fiel.act_as for one transaction. Without a caller: NULL, NULL and {}, which match nothing.
-- A setting that was LOCAL once reads '' afterwards, hence nullif. All three are inlined into the query that uses them.

CREATE FUNCTION fiel.caller_tenant() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
    RETURN nullif(current_setting('app.tenant', true), '');

CREATE FUNCTION fiel.caller() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
    RETURN nullif(current_setting('app.principal', true), '');

CREATE FUNCTION fiel.caller_grants() RETURNS int[] LANGUAGE sql STABLE PARALLEL SAFE
    RETURN coalesce(nullif(current_setting('app.grants', true), '')::int[], '{}'::int[]);

-- Names that stand in ACL arrays, as small integers. An id is never given to another name.

CREATE TABLE fiel.grant_names (
    id     int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant text NOT NULL CHECK (tenant <> ''),
    name   text NOT NULL CHECK (name <> ''),
    UNIQUE (tenant, name)
);
REVOKE UPDATE, DELETE ON fiel.grant_names FROM fiel_runtime;
ALTER TABLE fiel.grant_names ENABLE ROW LEVEL SECURITY;
ALTER TABLE fiel.grant_names FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON fiel.grant_names
    USING (tenant = fiel.caller_tenant()) WITH CHECK (tenant = fiel.caller_tenant());

-- Become a caller until the end of the transaction. `names` are resolved to ids here, so queries need no join.

CREATE FUNCTION fiel.act_as(tenant text, principal text, names text[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('app.tenant', act_as.tenant, true), set_config('app.principal', act_as.principal, true);
    PERFORM set_config('app.grants', coalesce(
        (SELECT array_agg(g.id ORDER BY g.id)::text
           FROM fiel.grant_names g
          WHERE g.tenant = act_as.tenant AND g.name = ANY (act_as.names)), '{}'), true);
END
$$;

-- Ids of `names` in the caller's tenant, sorted; a name that has none yet gets one. For writers of ACLs.

CREATE FUNCTION fiel.grant_ids(names text[]) RETURNS int[]
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO fiel.grant_names (tenant, name)
    SELECT fiel.caller_tenant(), n
      FROM (SELECT DISTINCT unnest(names) AS n) AS wanted
     WHERE NOT EXISTS (SELECT FROM fiel.grant_names g WHERE g.tenant = fiel.caller_tenant() AND g.name = n)
     ORDER BY n
        ON CONFLICT DO NOTHING;
    RETURN coalesce(
        (SELECT array_agg(g.id ORDER BY g.id)
           FROM fiel.grant_names g
          WHERE g.tenant = fiel.caller_tenant() AND g.name = ANY (names)), '{}');
END
$$;

CREATE TABLE fiel.migrations (
    number     int PRIMARY KEY,
    name       text NOT NULL,
    sha256     text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
REVOKE INSERT, UPDATE, DELETE ON fiel.migrations FROM fiel_runtime;
