-- Lineage: which runs used which version of which document, and in which sentences of their answers.
--
-- An index and no record: it is made from sealed entries and their contents, and can be made anew at any time. It holds
-- ids, numbers and codes. Rows of a data subject leave with the subject's key.

CREATE TABLE fiel.lineage (
    tenant text NOT NULL CHECK (tenant <> ''),
    document uuid NOT NULL,
    version uuid NOT NULL,
    run uuid NOT NULL,
    caller text NOT NULL,
    started bigint NOT NULL,
    outcome text NOT NULL,
    chunks uuid[] NOT NULL,
    sentences int[] NOT NULL,
    key text NOT NULL,
    PRIMARY KEY (run, version)
);
COMMENT ON COLUMN fiel.lineage.started IS 'Microseconds since 1970, as the run has it.';
COMMENT ON COLUMN fiel.lineage.chunks IS 'Passages of the version that lay before the model.';
COMMENT ON COLUMN fiel.lineage.sentences IS 'Sentences of the answer that cite the version, counted from 1; empty: it was read and not cited.';
COMMENT ON COLUMN fiel.lineage.key IS 'Name of the data key of the run''s contents.';
CREATE INDEX lineage_of_document ON fiel.lineage (tenant, document, started DESC, run);

CREATE TABLE fiel.lineage_places (
    tenant text PRIMARY KEY CHECK (tenant <> ''),
    seal bigint NOT NULL CHECK (seal >= 0)
);
COMMENT ON TABLE fiel.lineage_places IS 'The last seal of a tenant''s chain whose runs are indexed.';

ALTER TABLE fiel.lineage ENABLE ROW LEVEL SECURITY;
ALTER TABLE fiel.lineage FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON fiel.lineage
    USING (tenant = (SELECT fiel.caller_tenant())) WITH CHECK (tenant = (SELECT fiel.caller_tenant()));
REVOKE ALL ON fiel.lineage, fiel.lineage_places FROM fiel_runtime;
GRANT SELECT, INSERT, DELETE ON fiel.lineage TO fiel_runtime;
GRANT SELECT, INSERT, UPDATE, DELETE ON fiel.lineage_places TO fiel_runtime;

-- Whoever destroys a key need not know of this table, nor be a caller of the tenant.
CREATE FUNCTION fiel.lineage_erased() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = fiel, pg_catalog, pg_temp
    AS $$
        DECLARE
            asking text := coalesce(current_setting('app.tenant', true), '');
        BEGIN
            PERFORM set_config('app.tenant', NEW.tenant, true);
            DELETE FROM lineage WHERE key = NEW.id;
            PERFORM set_config('app.tenant', asking, true);
            RETURN NULL;
        END
    $$;
CREATE TRIGGER lineage_erased AFTER UPDATE ON fiel.subject_keys
    FOR EACH ROW WHEN (OLD.erased IS NULL AND NEW.erased IS NOT NULL) EXECUTE FUNCTION fiel.lineage_erased();

-- Documents are asked for by their address, and runs by their time.
CREATE INDEX documents_uri ON fiel.documents (tenant, uri);
CREATE INDEX runs_of_tenant ON fiel.runs (tenant, started DESC);
