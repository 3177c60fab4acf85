-- Data keys: one for each data subject (the caller of runs), wrapped by the master key. Erasing a subject empties
-- `wrapped` for ever; what was encrypted and digested under it can then neither be read nor guessed.

CREATE TABLE fiel.subject_keys (
    id text PRIMARY KEY CHECK (id <> ''),
    tenant text NOT NULL CHECK (tenant <> ''),
    subject text NOT NULL CHECK (subject <> ''),
    master text NOT NULL,
    wrapped bytea,
    made timestamptz NOT NULL DEFAULT clock_timestamp(),
    erased timestamptz,
    CHECK ((wrapped IS NULL) = (erased IS NOT NULL))
);
COMMENT ON COLUMN fiel.subject_keys.master IS 'Name of the key that wrapped this one.';
CREATE UNIQUE INDEX subject_keys_live ON fiel.subject_keys (tenant, subject) WHERE wrapped IS NOT NULL;

CREATE FUNCTION fiel.erased_for_ever() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
        BEGIN
            RAISE EXCEPTION 'key % was erased and stays so', OLD.id USING ERRCODE = '42501';
        END
    $$;
CREATE TRIGGER erased_for_ever BEFORE UPDATE OR DELETE ON fiel.subject_keys
    FOR EACH ROW WHEN (OLD.erased IS NOT NULL) EXECUTE FUNCTION fiel.erased_for_ever();

REVOKE ALL ON fiel.subject_keys FROM fiel_runtime;
GRANT SELECT, INSERT, UPDATE (master, wrapped, erased) ON fiel.subject_keys TO fiel_runtime;
