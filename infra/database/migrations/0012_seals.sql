-- The chain of a tenant: seals, each over what was committed since the one before, and their signed heads.
--
-- A seal's body is canonical JSON; its hash the SHA-256 of it, `prev` inside it the hash of the seal before, `root` the
-- Merkle root (RFC 6962) of its leaves, 85 bytes each, in order. See fiel.unsealed for what a leaf is.

CREATE TABLE fiel.seals (
    tenant text NOT NULL CHECK (tenant <> ''),
    number bigint NOT NULL CHECK (number > 0),
    hash bytea NOT NULL CHECK (octet_length(hash) = 32),
    body bytea NOT NULL,
    leaves bytea NOT NULL CHECK (octet_length(leaves) > 0 AND octet_length(leaves) % 85 = 0),
    PRIMARY KEY (tenant, number)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON fiel.seals
    FOR EACH STATEMENT EXECUTE FUNCTION fiel.append_only();

CREATE TABLE fiel.heads (
    tenant text NOT NULL CHECK (tenant <> ''),
    number bigint NOT NULL CHECK (number > 0),
    body bytea NOT NULL,
    signature bytea NOT NULL CHECK (octet_length(signature) = 64),
    PRIMARY KEY (tenant, number)
);
COMMENT ON COLUMN fiel.heads.signature IS 'Ed25519 over body: tenant, number and hash of a seal, time, name of the key.';
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON fiel.heads
    FOR EACH STATEMENT EXECUTE FUNCTION fiel.append_only();

REVOKE ALL ON fiel.seals, fiel.heads FROM fiel_runtime;
GRANT SELECT, INSERT ON fiel.seals, fiel.heads TO fiel_runtime;

-- What no hash covers has no place beside what one covers; the order is that of the seals.

ALTER TABLE fiel.frames DROP COLUMN xid, DROP COLUMN at;

INSERT INTO fiel.unsealed (tenant, leaf)
SELECT r.tenant, 'r'::bytea || uuid_send(f.run) || int4send(f.seq) || f.head
       || sha256(convert_to(f.key, 'UTF8') || '\x00'::bytea || f.data)
  FROM fiel.frames f JOIN fiel.runs r USING (run)
 ORDER BY r.started, f.run, f.seq;
