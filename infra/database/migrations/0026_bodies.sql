-- Bodies of entries are kept compressed. What was kept plain stays so, and is read like the rest.

COMMENT ON COLUMN fiel.entries.body IS
    'Canonical JSON, compressed as fiel.infra.ledger.bodies says; hash is its SHA-256, prev inside it the hash of the entry before.';
ALTER TABLE fiel.entries ALTER COLUMN body SET STORAGE EXTERNAL;
