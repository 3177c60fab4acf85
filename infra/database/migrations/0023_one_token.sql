-- What a token gives its holder is said in one place: `token_of` finds the token and asks `token_now`.

CREATE OR REPLACE FUNCTION fiel.token_of(sought bytea)
RETURNS TABLE (id uuid, tenant text, principal text, groups text[], roles text[])
LANGUAGE sql SECURITY DEFINER SET search_path = fiel, pg_catalog, pg_temp AS $$
    WITH used AS (
        UPDATE tokens t SET last_used_at = clock_timestamp()
         WHERE t.hash = sought AND t.revoked_at IS NULL AND coalesce(t.expires_at > clock_timestamp(), true)
           AND coalesce(t.last_used_at < clock_timestamp() - interval '1 minute', true)
    )
    SELECT t.id, now.* FROM tokens t CROSS JOIN LATERAL token_now(t.id) AS now WHERE t.hash = sought
$$;
