-- API tokens, and what each owner has spent.
--
-- A token is 256 random bits. Its SHA-256 is what stands here, so nobody who reads the table can call with it. A row is
-- found by hash before anybody is known, which is why the two lookups are functions of the owner, who is not subject to
-- the row security of this one table. Rows are never deleted: who held which rights, and until when, stays.

CREATE TABLE fiel.tokens (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant text NOT NULL CHECK (tenant <> ''),
    principal text NOT NULL CHECK (principal <> ''),
    groups text[] NOT NULL DEFAULT '{}',
    roles text[] NOT NULL CHECK (cardinality(roles) > 0),
    hash bytea NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz,
    rotates uuid REFERENCES fiel.tokens
);
COMMENT ON COLUMN fiel.tokens.last_used_at IS 'To the minute: written at most once a minute.';
COMMENT ON COLUMN fiel.tokens.rotates IS 'The token in whose place this one was made.';
CREATE INDEX tokens_of_tenant ON fiel.tokens (tenant, principal);

ALTER TABLE fiel.tokens ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON fiel.tokens
    USING (tenant = fiel.caller_tenant()) WITH CHECK (tenant = fiel.caller_tenant());
REVOKE ALL ON fiel.tokens FROM fiel_runtime;
GRANT SELECT, INSERT, UPDATE (expires_at, revoked_at) ON fiel.tokens TO fiel_runtime;

CREATE FUNCTION fiel.token_of(sought bytea)
RETURNS TABLE (id uuid, tenant text, principal text, groups text[], roles text[])
LANGUAGE sql SECURITY DEFINER SET search_path = fiel, pg_catalog, pg_temp AS $$
    WITH used AS (
        UPDATE tokens t SET last_used_at = clock_timestamp()
         WHERE t.hash = sought AND t.revoked_at IS NULL AND coalesce(t.expires_at > clock_timestamp(), true)
           AND coalesce(t.last_used_at < clock_timestamp() - interval '1 minute', true)
    )
    SELECT t.id, t.tenant, t.principal, t.groups, t.roles
      FROM tokens t
     WHERE t.hash = sought AND t.revoked_at IS NULL AND coalesce(t.expires_at > clock_timestamp(), true)
$$;
COMMENT ON FUNCTION fiel.token_of(bytea) IS 'The live token with this SHA-256; no row where there is none.';

CREATE FUNCTION fiel.token_lives(sought uuid) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = fiel, pg_catalog, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM tokens t
         WHERE t.id = sought AND t.revoked_at IS NULL AND coalesce(t.expires_at > clock_timestamp(), true)
    )
$$;

CREATE FUNCTION fiel.has_administrator(sought text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = fiel, pg_catalog, pg_temp AS $$
    SELECT EXISTS (SELECT FROM tokens t WHERE t.tenant = sought AND 'administrator' = ANY (t.roles))
$$;
COMMENT ON FUNCTION fiel.has_administrator(text) IS 'Whether an administrator''s token was ever made in a tenant.';

-- What an owner's runs have cost, by day (UTC): what a limit of spend looks at.

CREATE TABLE fiel.spend (
    tenant text NOT NULL,
    owner text NOT NULL,
    day date NOT NULL,
    runs int NOT NULL DEFAULT 0,
    input_tokens bigint NOT NULL DEFAULT 0,
    output_tokens bigint NOT NULL DEFAULT 0,
    cost numeric NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant, owner, day)
);
ALTER TABLE fiel.spend ENABLE ROW LEVEL SECURITY;
ALTER TABLE fiel.spend FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON fiel.spend
    USING (tenant = fiel.caller_tenant() AND owner = fiel.caller())
    WITH CHECK (tenant = fiel.caller_tenant() AND owner = fiel.caller());
REVOKE DELETE ON fiel.spend FROM fiel_runtime;
