-- Erasures: who was erased, and what of it is still to be done. The act in the ledger is the proof; this is the work.
--
-- The row is written in the transaction that destroys the keys, so a process that is killed afterwards leaves something
-- that says so: any other process, or the same command again, removes the rest.

CREATE TABLE fiel.erasures (
    act uuid PRIMARY KEY,
    tenant text NOT NULL CHECK (tenant <> ''),
    subject text NOT NULL CHECK (subject <> ''),
    begun timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished timestamptz,
    swept timestamptz
);
COMMENT ON TABLE fiel.erasures IS 'Outside row security, for the process that finishes what another has begun. Names and times only.';
COMMENT ON COLUMN fiel.erasures.swept IS 'When it was looked at once more, for what runs under way had still written.';
CREATE INDEX erasures_open ON fiel.erasures (begun) WHERE swept IS NULL;
REVOKE ALL ON fiel.erasures FROM fiel_runtime;
GRANT SELECT, INSERT, UPDATE (finished, swept) ON fiel.erasures TO fiel_runtime;

-- Traces that are to go from MLflow: whoever ships spans takes them away.

CREATE TABLE fiel.trace_removals (
    run uuid PRIMARY KEY,
    tries int NOT NULL DEFAULT 0,
    due timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX trace_removals_due ON fiel.trace_removals (due);
REVOKE ALL ON fiel.trace_removals FROM fiel_runtime;
GRANT SELECT, INSERT, DELETE, UPDATE (tries, due) ON fiel.trace_removals TO fiel_runtime;

-- Keys of one person are destroyed together, each named by the act that does it.
CREATE INDEX subject_keys_of ON fiel.subject_keys (tenant, subject);

CREATE FUNCTION fiel.microseconds(at timestamptz) RETURNS bigint LANGUAGE sql STABLE
    RETURN (extract(epoch FROM at) * 1000000)::bigint;
COMMENT ON FUNCTION fiel.microseconds(timestamptz) IS 'Since 1970, as the ledger writes times.';

CREATE FUNCTION fiel.runs_before(of_tenant text, subject text, at timestamptz) RETURNS SETOF uuid LANGUAGE sql STABLE AS $$
    SELECT run FROM fiel.runs WHERE tenant = of_tenant AND caller = subject AND started <= fiel.microseconds(at)
$$;
COMMENT ON FUNCTION fiel.runs_before(text, text, timestamptz) IS 'Runs that a person had begun by then.';

-- What was said about a run goes with the person; its act stays, and names it by a digest that nobody can guess. Nobody
-- else takes feedback back, so the runtime role has this one way, which an erasure of the caller's tenant opens.

CREATE FUNCTION fiel.erase_feedback(of_act uuid) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = fiel, pg_catalog, pg_temp AS $$
DECLARE
    erasure erasures;
    removed bigint;
BEGIN
    SELECT * INTO erasure FROM erasures WHERE act = of_act;
    DELETE FROM feedback
     WHERE tenant = erasure.tenant AND at <= erasure.begun
       AND (principal = erasure.subject
            OR run IN (SELECT runs_before(erasure.tenant, erasure.subject, erasure.begun)));
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN removed;
END
$$;
COMMENT ON FUNCTION fiel.erase_feedback(uuid) IS 'Removes what an erased person has said, and what was said about their runs.';
