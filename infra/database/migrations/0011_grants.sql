-- Grants: who may read a collection, or one document of it, beside those whom the ingest allowed.
--
-- Allow only. What an ingest allows stands in documents.allowed; what search filters by is that and the grants on the
-- document and on its collection, kept in step by triggers. No grant opens a document that was deleted.

CREATE TABLE fiel.access_grants (
    tenant     text NOT NULL,
    collection uuid NOT NULL,
    document   uuid,
    grantee    int NOT NULL REFERENCES fiel.grant_names (id),
    granted_by text NOT NULL,
    granted_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE NULLS NOT DISTINCT (collection, document, grantee),
    FOREIGN KEY (tenant, collection) REFERENCES fiel.collections (tenant, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant, document) REFERENCES fiel.documents (tenant, id) ON DELETE CASCADE
);
COMMENT ON COLUMN fiel.access_grants.document IS 'NULL: the grant is on the collection, and every document of it inherits it.';
REVOKE UPDATE ON fiel.access_grants FROM fiel_runtime;
ALTER TABLE fiel.access_grants ENABLE ROW LEVEL SECURITY;
ALTER TABLE fiel.access_grants FORCE ROW LEVEL SECURITY;
CREATE POLICY curated ON fiel.access_grants
    USING (tenant = (SELECT fiel.caller_tenant()) AND (SELECT fiel.caller_curates()));

ALTER TABLE fiel.documents ADD COLUMN allowed int[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN fiel.documents.allowed IS 'Whom the ingest allowed; set by trigger from the ACL that is written.';
ALTER TABLE fiel.documents NO FORCE ROW LEVEL SECURITY;
UPDATE fiel.documents SET allowed = acl;
ALTER TABLE fiel.documents FORCE ROW LEVEL SECURITY;

-- `base` and whom grants add, sorted. A change of grants holds the lock alone, writers of documents share it: a document
-- that is written while a grant ends cannot keep it. The next statement sees what was committed before the lock was had.
CREATE FUNCTION fiel.with_grants(base int[], of_collection uuid, of_document uuid) RETURNS int[]
LANGUAGE plpgsql SET search_path = fiel, pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtextextended(of_collection::text, 20119));
    RETURN ARRAY(
        SELECT unnest(base)
        UNION
        SELECT grantee FROM access_grants
         WHERE collection = of_collection AND (document IS NULL OR document = of_document)
        ORDER BY 1
    );
END $$;

CREATE FUNCTION fiel.document_granted() RETURNS trigger LANGUAGE plpgsql SET search_path = fiel, pg_catalog, pg_temp AS $$
BEGIN
    NEW.allowed := NEW.acl;
    IF NEW.deleted_at IS NULL THEN
        NEW.acl := with_grants(NEW.acl, NEW.collection, NEW.id);
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION fiel.chunk_granted() RETURNS trigger LANGUAGE plpgsql SET search_path = fiel, pg_catalog, pg_temp AS $$
BEGIN
    NEW.acl := with_grants(NEW.acl, NEW.collection, NEW.document);
    RETURN NEW;
END $$;

CREATE TRIGGER granted BEFORE INSERT OR UPDATE OF acl ON fiel.documents
    FOR EACH ROW EXECUTE FUNCTION fiel.document_granted();
-- Triggers fire by name: this one before `place`, which chooses the shelf by the ACL.
CREATE TRIGGER granted BEFORE INSERT OR UPDATE OF acl ON fiel.chunks
    FOR EACH ROW EXECUTE FUNCTION fiel.chunk_granted();
