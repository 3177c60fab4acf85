-- Whether the caller administers is settled with whether they curate: the migration before the last made `act_as` anew
-- without it, and nobody could keep users and groups.

CREATE OR REPLACE FUNCTION fiel.act_as(tenant text, principal text, names text[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('app.tenant', act_as.tenant, true), set_config('app.principal', act_as.principal, true),
            set_config('app.administers', ('role:administrator' = ANY (act_as.names))::text, true);
    PERFORM set_config('app.grants', coalesce(array_agg(g.id ORDER BY g.id)::text, '{}'), true),
            set_config('app.curates', coalesce(bool_or(g.name IN ('role:curator', 'role:administrator')), false)::text, true)
       FROM fiel.grant_names g
      WHERE g.tenant = act_as.tenant AND g.name = ANY (act_as.names);
END
$$;
