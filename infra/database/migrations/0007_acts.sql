-- Administrative acts: who changed what rules a tenant, or looked at the runs of others.
--
-- An act is written in the transaction that does it, so there is none without the other. Its body is canonical JSON and
-- its hash the SHA-256 of it. The columns beside them repeat what the body says, for queries.

CREATE TABLE fiel.acts (
    act uuid PRIMARY KEY,
    tenant text NOT NULL CHECK (tenant <> ''),
    principal text NOT NULL CHECK (principal <> ''),
    kind text NOT NULL CHECK (kind <> ''),
    subject text NOT NULL,
    at bigint NOT NULL,
    hash bytea NOT NULL CHECK (octet_length(hash) = 32),
    body bytea NOT NULL
);
COMMENT ON COLUMN fiel.acts.at IS 'Microseconds since 1970, as the process saw it.';
CREATE INDEX acts_of_tenant ON fiel.acts (tenant, at DESC);

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON fiel.acts
    FOR EACH STATEMENT EXECUTE FUNCTION fiel.append_only();

ALTER TABLE fiel.acts ENABLE ROW LEVEL SECURITY;
ALTER TABLE fiel.acts FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON fiel.acts
    USING (tenant = fiel.caller_tenant()) WITH CHECK (tenant = fiel.caller_tenant());
REVOKE ALL ON fiel.acts FROM fiel_runtime;
GRANT SELECT, INSERT ON fiel.acts TO fiel_runtime;

-- What waits to be sealed into its tenant's chain: one row an act or a committed part of a run, inserted with it. The
-- sealer deletes rows in the transaction that seals them, so nothing is skipped, whenever it commits or is restored.

CREATE TABLE fiel.unsealed (
    place bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant text NOT NULL CHECK (tenant <> ''),
    leaf bytea NOT NULL CHECK (octet_length(leaf) = 85),
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON COLUMN fiel.unsealed.leaf IS
    'r or a, then id (16), last sequence (4, big endian), hash of that entry or act (32), digest of the frame (32).';
REVOKE ALL ON fiel.unsealed FROM fiel_runtime;
GRANT SELECT, INSERT, DELETE ON fiel.unsealed TO fiel_runtime;
