-- What the token of this id gives its holder at this moment: nothing where it has expired, was revoked, or its user is
-- gone. For runs that begin later than they were asked for.

CREATE FUNCTION fiel.token_now(sought uuid)
RETURNS TABLE (tenant text, principal text, groups text[], roles text[])
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = fiel, pg_catalog, pg_temp AS $$
    SELECT t.tenant, t.principal,
           ARRAY(SELECT unnest(t.groups) UNION
                 SELECT m.group_name FROM members m WHERE m.tenant = t.tenant AND m.user_name = t.principal),
           CASE WHEN t.roles = '{}' THEN u.roles ELSE t.roles END
      FROM tokens t LEFT JOIN users u ON u.tenant = t.tenant AND u.name = t.principal
     WHERE t.id = sought AND t.revoked_at IS NULL AND coalesce(t.expires_at > clock_timestamp(), true)
       AND (t.roles <> '{}' OR u.name IS NOT NULL)
$$;
