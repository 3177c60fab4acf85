-- The ledger, the outbox of spans, and the vault.
--
-- Entries are linked by hash, run by run. `frames` has one row for each time a run committed something: the head of its
-- chain at that moment beside the encrypted contents; what seals runs into one chain a tenant reads it in the order of
-- `xid`. Everything that says what was asked or answered is encrypted; what stands in clear are ids, hashes, codes.
--
-- Runs, entries and frames are append-only: by privilege for the runtime role, by trigger for the owner too.

CREATE FUNCTION fiel.append_only() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
        BEGIN
            RAISE EXCEPTION 'fiel.% is append-only: % is refused', TG_TABLE_NAME, TG_OP USING ERRCODE = '42501';
        END
    $$;

CREATE TABLE fiel.runs (
    run uuid PRIMARY KEY,
    tenant text NOT NULL CHECK (tenant <> ''),
    thread text NOT NULL,
    caller text NOT NULL,
    resumes uuid,
    resumes_seq int CHECK (resumes_seq >= 0),
    started bigint NOT NULL,
    CHECK ((resumes IS NULL) = (resumes_seq IS NULL))
);
COMMENT ON COLUMN fiel.runs.started IS 'Microseconds since 1970, as the process saw it.';
CREATE INDEX runs_of_thread ON fiel.runs (tenant, thread, caller, started DESC) WHERE thread <> '';

CREATE TABLE fiel.entries (
    run uuid NOT NULL,
    seq int NOT NULL CHECK (seq >= 0),
    hash bytea NOT NULL CHECK (octet_length(hash) = 32),
    body bytea NOT NULL,
    PRIMARY KEY (run, seq)
);
COMMENT ON COLUMN fiel.entries.body IS 'Canonical JSON; hash is its SHA-256, prev inside it the hash of the entry before.';

CREATE TABLE fiel.frames (
    run uuid NOT NULL,
    seq int NOT NULL,
    head bytea NOT NULL CHECK (octet_length(head) = 32),
    key text NOT NULL,
    data bytea NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (run, seq)
);
COMMENT ON COLUMN fiel.frames.seq IS 'The last entry that was committed with this frame; head is its hash.';
COMMENT ON COLUMN fiel.frames.data IS 'Contents by digest, packed, compressed, encrypted; empty where none were new.';
ALTER TABLE fiel.frames ALTER COLUMN data SET STORAGE EXTERNAL;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON fiel.runs
    FOR EACH STATEMENT EXECUTE FUNCTION fiel.append_only();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON fiel.entries
    FOR EACH STATEMENT EXECUTE FUNCTION fiel.append_only();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON fiel.frames
    FOR EACH STATEMENT EXECUTE FUNCTION fiel.append_only();

-- Spans on their way to MLflow. A row leaves when MLflow has taken it; one that it refuses is set aside with its error.

CREATE TABLE fiel.spans (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run uuid NOT NULL,
    key text NOT NULL,
    data bytea NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    refused text NOT NULL DEFAULT ''
);
COMMENT ON COLUMN fiel.spans.data IS 'Serialised opentelemetry TracesData, compressed, encrypted.';
ALTER TABLE fiel.spans ALTER COLUMN data SET STORAGE EXTERNAL;
CREATE INDEX spans_to_ship ON fiel.spans (id) WHERE refused = '';

-- Drafts of runs that may be resumed.

CREATE TABLE fiel.drafts (
    run uuid NOT NULL,
    digest bytea NOT NULL CHECK (octet_length(digest) = 32),
    key text NOT NULL,
    data bytea NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (run, digest)
);
ALTER TABLE fiel.drafts ALTER COLUMN data SET STORAGE EXTERNAL;
CREATE INDEX drafts_by_age ON fiel.drafts (at);

REVOKE ALL ON fiel.runs, fiel.entries, fiel.frames, fiel.spans, fiel.drafts FROM fiel_runtime;
GRANT SELECT, INSERT ON fiel.runs, fiel.entries, fiel.frames TO fiel_runtime;
GRANT SELECT, INSERT, DELETE, UPDATE (refused) ON fiel.spans TO fiel_runtime;
GRANT SELECT, INSERT, DELETE ON fiel.drafts TO fiel_runtime;
