-- Bundles and prompts by version, as they were written: an old run is replayed under its own. No text of a user.

CREATE TABLE fiel.kept (
    kind text NOT NULL CHECK (kind IN ('bundle', 'prompt')),
    name text NOT NULL,
    version text NOT NULL,
    body bytea NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (kind, name, version)
);
COMMENT ON COLUMN fiel.kept.body IS 'Canonical JSON: the texts of a bundle, what it extends first; the templates of prompts.';

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON fiel.kept
    FOR EACH STATEMENT EXECUTE FUNCTION fiel.append_only();
REVOKE ALL ON fiel.kept FROM fiel_runtime;
GRANT SELECT, INSERT ON fiel.kept TO fiel_runtime;
