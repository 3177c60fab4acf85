-- What each statement under row security asks anew, asked once a transaction; and vectors where a search finds them sooner.

-- Whether the caller may write stood to be looked up for every table that a statement reads: a search did so a dozen
-- times. It follows from the names that `act_as` resolves, which are settled for the transaction.
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

CREATE OR REPLACE FUNCTION fiel.caller_curates() RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE
    RETURN coalesce(current_setting('app.curates', true) = 'true', false);

-- A chunk's vector stays in its row as long as a page holds both, and is read with it. Chunks that are there stay as they
-- are until they are written again, or until somebody has the minute for `CLUSTER fiel.chunks USING chunks_number_key`.
ALTER TABLE fiel.chunks ALTER embedding SET STORAGE MAIN;
ALTER TABLE fiel.chunks SET (toast_tuple_target = 8160);

-- Entries this wide leave pages half empty that are filled one chunk at a time. A second for 100,000 chunks.
REINDEX INDEX fiel.vectors_pkey;
