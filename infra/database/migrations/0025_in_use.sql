-- Which version of each bundle and of each prompt is in use, so that a process that starts with others says so in the
-- ledger: the folder of bundles may have changed, or fiel itself, while nothing ran.

CREATE TABLE fiel.in_use (
    kind text NOT NULL CHECK (kind IN ('bundle', 'prompt')),
    name text NOT NULL,
    version text NOT NULL,
    PRIMARY KEY (kind, name)
);
REVOKE ALL ON fiel.in_use FROM fiel_runtime;
GRANT SELECT, INSERT, DELETE, UPDATE (version) ON fiel.in_use TO fiel_runtime;
