-- OpenLineage events on their way to a data catalogue: ids, addresses and codes, never a text of a user. Like `spans`:
-- outside row security, for the process that sends. A row leaves when the catalogue has taken it.

CREATE TABLE fiel.catalogue_events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event bytea NOT NULL,
    tries int NOT NULL DEFAULT 0,
    due timestamptz NOT NULL DEFAULT clock_timestamp(),
    problem text NOT NULL DEFAULT ''
);
COMMENT ON COLUMN fiel.catalogue_events.event IS 'JSON, as it is sent.';
COMMENT ON COLUMN fiel.catalogue_events.problem IS 'Why it was not taken so far: a status.';
CREATE INDEX catalogue_events_due ON fiel.catalogue_events (due);
REVOKE ALL ON fiel.catalogue_events FROM fiel_runtime;
GRANT SELECT, INSERT, DELETE, UPDATE (tries, due, problem) ON fiel.catalogue_events TO fiel_runtime;
