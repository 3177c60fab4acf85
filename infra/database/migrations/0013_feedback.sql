-- What callers say about runs, and the same on its way to MLflow.
--
-- Comments and labels are text of users: encrypted under the data key of whoever wrote them, so that erasing a person
-- erases them too. The ledger has an act for each row, with the digest of what is encrypted.

CREATE TABLE fiel.feedback (
    tenant text NOT NULL CHECK (tenant <> ''),
    feedback_id uuid NOT NULL,
    run uuid NOT NULL,
    principal text NOT NULL CHECK (principal <> ''),
    score double precision NOT NULL CHECK (score BETWEEN -1 AND 1),
    key text NOT NULL,
    data bytea NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, feedback_id)
);
COMMENT ON COLUMN fiel.feedback.run IS 'The protocol''s run, or the ledger''s where the command line asked.';
COMMENT ON COLUMN fiel.feedback.data IS 'Comment and labels, compressed, encrypted.';
ALTER TABLE fiel.feedback ALTER COLUMN data SET STORAGE EXTERNAL;
CREATE INDEX feedback_of_run ON fiel.feedback (tenant, run, at);

ALTER TABLE fiel.feedback ENABLE ROW LEVEL SECURITY;
ALTER TABLE fiel.feedback FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON fiel.feedback
    USING (tenant = fiel.caller_tenant()) WITH CHECK (tenant = fiel.caller_tenant());
REVOKE ALL ON fiel.feedback FROM fiel_runtime;
GRANT SELECT, INSERT ON fiel.feedback TO fiel_runtime;

-- Like `spans`: outside row security, for the process that ships. A row leaves when MLflow has taken it.

CREATE TABLE fiel.assessments (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    feedback_id uuid NOT NULL,
    attempts uuid[] NOT NULL,
    key text NOT NULL,
    data bytea NOT NULL,
    tries int NOT NULL DEFAULT 0,
    due timestamptz NOT NULL DEFAULT clock_timestamp(),
    problem text NOT NULL DEFAULT ''
);
COMMENT ON COLUMN fiel.assessments.attempts IS 'What traces of the run may be called; the last that the ledger has is meant.';
COMMENT ON COLUMN fiel.assessments.data IS 'What MLflow is to be told, redacted, compressed, encrypted.';
COMMENT ON COLUMN fiel.assessments.problem IS 'Why it was not taken so far: a code or a status, never a text.';
ALTER TABLE fiel.assessments ALTER COLUMN data SET STORAGE EXTERNAL;
CREATE INDEX assessments_due ON fiel.assessments (due);
REVOKE ALL ON fiel.assessments FROM fiel_runtime;
GRANT SELECT, INSERT, DELETE, UPDATE (tries, due, problem) ON fiel.assessments TO fiel_runtime;
