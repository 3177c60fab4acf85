-- Audiences: who may read, written once for all documents of a collection that are open to the same names.
--
-- The array that search filters by stood on every chunk, so a grant on a collection rewrote each chunk, its postings and
-- its place in the vector index. It stands on the audience now: a document has one, a shelf is the chunks of one in one
-- language, and a grant on a collection writes a few rows however many chunks there are. A grant on a document moves it to
-- another audience. All of it is derived by triggers from what an ingest allows and from the grants.

ALTER TABLE fiel.documents NO FORCE ROW LEVEL SECURITY;
ALTER TABLE fiel.chunks NO FORCE ROW LEVEL SECURITY;
ALTER TABLE fiel.shelves NO FORCE ROW LEVEL SECURITY;
ALTER TABLE fiel.shelf_counts NO FORCE ROW LEVEL SECURITY;
ALTER TABLE fiel.postings NO FORCE ROW LEVEL SECURITY;
ALTER TABLE fiel.access_grants NO FORCE ROW LEVEL SECURITY;

DROP TRIGGER granted ON fiel.documents;
DROP TRIGGER granted ON fiel.chunks;
DROP FUNCTION fiel.document_granted();
DROP FUNCTION fiel.chunk_granted();
DROP FUNCTION fiel.with_grants(int[], uuid, uuid);

CREATE TABLE fiel.audiences (
    id         int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant     text NOT NULL,
    collection uuid NOT NULL,
    base       int[] NOT NULL,
    inherits   boolean NOT NULL,
    acl        int[] NOT NULL,
    UNIQUE (tenant, collection, base, inherits)
);
COMMENT ON TABLE fiel.audiences IS 'Who may read the documents of a collection that have equal readers. Outlives its collection, like its shelves.';
COMMENT ON COLUMN fiel.audiences.base IS 'Whom the ingest and grants on the document itself let in, sorted.';
COMMENT ON COLUMN fiel.audiences.inherits IS 'Whether grants on the collection count: not for deleted documents.';
COMMENT ON COLUMN fiel.audiences.acl IS 'What search filters by: base and, where it inherits, the grants on the collection. Set by trigger.';

CREATE FUNCTION fiel.audience_granted() RETURNS trigger LANGUAGE plpgsql SET search_path = fiel, pg_catalog, pg_temp AS $$
BEGIN
    NEW.acl := ARRAY(
        SELECT unnest(NEW.base)
        UNION
        SELECT grantee FROM access_grants WHERE NEW.inherits AND collection = NEW.collection AND document IS NULL
        ORDER BY 1
    );
    RETURN NEW;
END $$;
CREATE TRIGGER granted BEFORE INSERT OR UPDATE ON fiel.audiences
    FOR EACH ROW EXECUTE FUNCTION fiel.audience_granted();

-- Documents ------------------------------------------------------------------------------------------------------

CREATE FUNCTION fiel.base_of(document uuid, allowed int[], deleted boolean) RETURNS int[]
    LANGUAGE sql STABLE SET search_path = fiel, pg_catalog, pg_temp
    AS $$
        SELECT ARRAY(
            SELECT name FROM unnest(base_of.allowed) AS name WHERE name IS NOT NULL
            UNION
            SELECT grantee FROM access_grants g WHERE NOT deleted AND g.document = base_of.document
            ORDER BY 1
        )
    $$;

INSERT INTO fiel.audiences (tenant, collection, base, inherits)
SELECT DISTINCT tenant, collection, fiel.base_of(id, allowed, deleted_at IS NOT NULL), deleted_at IS NULL
  FROM fiel.documents;

ALTER TABLE fiel.documents ADD COLUMN audience int REFERENCES fiel.audiences (id);
COMMENT ON COLUMN fiel.documents.allowed IS 'Whom the ingest allows.';
COMMENT ON COLUMN fiel.documents.audience IS 'Who may read it: set by trigger from `allowed`, the grants on the document, and whether it is deleted.';
UPDATE fiel.documents AS d SET audience = a.id
  FROM fiel.audiences AS a
 WHERE (a.tenant, a.collection, a.base, a.inherits)
     = (d.tenant, d.collection, fiel.base_of(d.id, d.allowed, d.deleted_at IS NOT NULL), d.deleted_at IS NULL);
ALTER TABLE fiel.documents ALTER COLUMN audience SET NOT NULL;
ALTER TABLE fiel.documents ALTER COLUMN allowed DROP DEFAULT;

-- A change of grants holds the lock alone, writers of documents share it: a document that is written while a grant ends
-- cannot keep it. The next statement sees what was committed before the lock was had.
CREATE FUNCTION fiel.document_placed() RETURNS trigger LANGUAGE plpgsql SET search_path = fiel, pg_catalog, pg_temp AS $$
DECLARE
    kept boolean := NEW.deleted_at IS NULL;
    readers int[];
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtextextended(NEW.collection::text, 20119));
    readers := base_of(NEW.id, NEW.allowed, NOT kept);
    NEW.audience := (SELECT id FROM audiences
        WHERE (tenant, collection, base, inherits) = (NEW.tenant, NEW.collection, readers, kept));
    IF NEW.audience IS NULL THEN
        INSERT INTO audiences (tenant, collection, base, inherits)
            VALUES (NEW.tenant, NEW.collection, readers, kept) ON CONFLICT DO NOTHING;
        NEW.audience := (SELECT id FROM audiences
            WHERE (tenant, collection, base, inherits) = (NEW.tenant, NEW.collection, readers, kept));
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION fiel.document_moved() RETURNS trigger LANGUAGE plpgsql SET search_path = fiel, pg_catalog, pg_temp AS $$
BEGIN
    UPDATE chunks SET shelf = shelf WHERE document = NEW.id; -- the trigger `place` chooses
    RETURN NULL;
END $$;

CREATE TRIGGER placed BEFORE INSERT OR UPDATE OF collection, allowed, audience, deleted_at ON fiel.documents
    FOR EACH ROW EXECUTE FUNCTION fiel.document_placed();
CREATE TRIGGER moved AFTER UPDATE ON fiel.documents
    FOR EACH ROW WHEN (OLD.audience IS DISTINCT FROM NEW.audience) EXECUTE FUNCTION fiel.document_moved();

-- Shelves and chunks ---------------------------------------------------------------------------------------------

DELETE FROM fiel.shelf_counts n WHERE NOT EXISTS (SELECT FROM fiel.chunks c WHERE c.shelf = n.shelf);
DELETE FROM fiel.shelves s WHERE NOT EXISTS (SELECT FROM fiel.chunks c WHERE c.shelf = s.id);

DROP POLICY readable ON fiel.shelves;
DROP POLICY readable ON fiel.documents;
DROP POLICY readable ON fiel.chunks;
ALTER TABLE fiel.shelves DROP COLUMN acl; -- and with it the old constraint
ALTER TABLE fiel.documents DROP COLUMN acl;
ALTER TABLE fiel.chunks DROP COLUMN acl;
COMMENT ON TABLE fiel.shelves IS 'Chunks of one audience in one language. Outlives its collection: its chunks'' triggers need it until the last.';
COMMENT ON COLUMN fiel.chunks.shelf IS 'Set by trigger from the audience of its document and the language.';

ALTER TABLE fiel.shelves ADD COLUMN audience int REFERENCES fiel.audiences (id);
ALTER TABLE fiel.shelves ADD UNIQUE (audience, language);

-- A shelf goes to the audience that most of its chunks have; chunks of documents with another one are moved.
UPDATE fiel.shelves AS s SET audience = chosen.audience
  FROM (
    SELECT DISTINCT ON (audience, language) shelf, audience
      FROM (
        SELECT DISTINCT ON (c.shelf) c.shelf, c.language, d.audience, count(*) AS chunks
          FROM fiel.chunks c JOIN fiel.documents d ON d.id = c.document
         GROUP BY c.shelf, c.language, d.audience
         ORDER BY c.shelf, count(*) DESC, d.audience
      ) AS most
     ORDER BY audience, language, chunks DESC, shelf
  ) AS chosen
 WHERE s.id = chosen.shelf;

CREATE OR REPLACE FUNCTION fiel.chunk_place() RETURNS trigger
LANGUAGE plpgsql SET search_path = fiel, pg_catalog, pg_temp AS $$
DECLARE
    readers int := (SELECT audience FROM documents WHERE id = NEW.document AND collection = NEW.collection);
BEGIN
    IF TG_OP = 'UPDATE' AND (NEW.number, NEW.tenant, NEW.collection, NEW.document, NEW.version, NEW.language,
            NEW.context, NEW.text) IS DISTINCT FROM (OLD.number, OLD.tenant, OLD.collection, OLD.document, OLD.version,
            OLD.language, OLD.context, OLD.text) THEN
        RAISE EXCEPTION 'of a chunk only the shelf and the embedding change; another text is another chunk';
    END IF;
    IF TG_OP = 'INSERT' THEN
        NEW.tokens := coalesce((
            SELECT sum(cardinality(positions))
            FROM unnest(to_tsvector(text_config(NEW.language), NEW.context || ' ' || NEW.text))
        ), 0);
    END IF;
    NEW.shelf := (SELECT id FROM shelves WHERE (audience, language) = (readers, NEW.language));
    IF NEW.shelf IS NULL THEN
        INSERT INTO shelves (tenant, collection, language, audience)
            VALUES (NEW.tenant, NEW.collection, NEW.language, readers) ON CONFLICT DO NOTHING;
        NEW.shelf := (SELECT id FROM shelves WHERE (audience, language) = (readers, NEW.language));
    END IF;
    RETURN NEW;
END $$;

UPDATE fiel.chunks AS c SET shelf = shelf
  FROM fiel.documents AS d, fiel.shelves AS s
 WHERE d.id = c.document AND s.id = c.shelf AND s.audience IS DISTINCT FROM d.audience;
DELETE FROM fiel.shelf_counts n USING fiel.shelves s WHERE s.id = n.shelf AND s.audience IS NULL;
DELETE FROM fiel.shelves WHERE audience IS NULL;
ALTER TABLE fiel.shelves ALTER COLUMN audience SET NOT NULL;
CREATE INDEX shelves_of_collection ON fiel.shelves (tenant, collection);

-- Row security ---------------------------------------------------------------------------------------------------
-- The array is compared once an audience; shelves, documents and chunks are readable as theirs is. Curators read every
-- document of their tenant, also where its audience is as new as the row: a statement does not see what its triggers made.

ALTER TABLE fiel.documents FORCE ROW LEVEL SECURITY;
ALTER TABLE fiel.chunks FORCE ROW LEVEL SECURITY;
ALTER TABLE fiel.shelves FORCE ROW LEVEL SECURITY;
ALTER TABLE fiel.shelf_counts FORCE ROW LEVEL SECURITY;
ALTER TABLE fiel.postings FORCE ROW LEVEL SECURITY;
ALTER TABLE fiel.access_grants FORCE ROW LEVEL SECURITY;
ALTER TABLE fiel.audiences ENABLE ROW LEVEL SECURITY;
ALTER TABLE fiel.audiences FORCE ROW LEVEL SECURITY;

CREATE POLICY readable ON fiel.audiences FOR SELECT
    USING (tenant = (SELECT fiel.caller_tenant()) AND acl && (SELECT fiel.caller_grants()));
CREATE POLICY inserted ON fiel.audiences FOR INSERT
    WITH CHECK (tenant = (SELECT fiel.caller_tenant()) AND (SELECT fiel.caller_curates()));
CREATE POLICY updated ON fiel.audiences FOR UPDATE
    USING (tenant = (SELECT fiel.caller_tenant()) AND (SELECT fiel.caller_curates()));

CREATE POLICY readable ON fiel.shelves FOR SELECT
    USING (tenant = (SELECT fiel.caller_tenant())
        AND ((SELECT fiel.caller_curates()) OR audience IN (SELECT id FROM fiel.audiences)));
CREATE POLICY readable ON fiel.documents FOR SELECT
    USING (tenant = (SELECT fiel.caller_tenant())
        AND ((SELECT fiel.caller_curates()) OR audience IN (SELECT id FROM fiel.audiences)));
CREATE POLICY readable ON fiel.chunks FOR SELECT
    USING (tenant = (SELECT fiel.caller_tenant())
        AND ((SELECT fiel.caller_curates()) OR shelf IN (SELECT id FROM fiel.shelves)));

REVOKE ALL ON fiel.audiences FROM fiel_runtime;
GRANT SELECT, INSERT, UPDATE (acl) ON fiel.audiences TO fiel_runtime;
