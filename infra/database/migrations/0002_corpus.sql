-- Corpus: collections, sources, documents, versions, chunks, and what search needs of them.
--
-- Plain PostgreSQL with pgvector; no contrib module. Everything is under FORCE ROW LEVEL SECURITY: a session without a
-- caller sees no row, a caller sees what one of their grants opens, and only curators and administrators write.
--
-- Chunks are those of current versions of documents that are not deleted; versions keep their text, so that a citation
-- stays readable. Search never reads an ACL it does not filter by: the array stands on the chunk itself.

-- Who calls ------------------------------------------------------------------------------------------------------

CREATE FUNCTION fiel.caller_curates() RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
        SELECT EXISTS (
            SELECT FROM fiel.grant_names
            WHERE name IN ('role:curator', 'role:administrator') AND id = ANY (fiel.caller_grants())
        )
    $$;
COMMENT ON FUNCTION fiel.caller_curates() IS 'Whether the caller holds a role that may write documents.';

-- Collections and sources ----------------------------------------------------------------------------------------

CREATE TABLE fiel.collections (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant text NOT NULL,
    name text NOT NULL CHECK (name <> ''),
    policy text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (tenant, name),
    UNIQUE (tenant, id)
);
COMMENT ON COLUMN fiel.collections.policy IS 'The least bundle that any run over the collection must use; empty: none named.';

CREATE TABLE fiel.sources (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant text NOT NULL,
    collection uuid NOT NULL,
    uri text NOT NULL,
    cursor jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    synced_at timestamptz,
    UNIQUE (collection, uri),
    FOREIGN KEY (tenant, collection) REFERENCES fiel.collections (tenant, id) ON DELETE CASCADE
);

-- Documents and versions -----------------------------------------------------------------------------------------

CREATE TABLE fiel.documents (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant text NOT NULL,
    collection uuid NOT NULL,
    source uuid REFERENCES fiel.sources (id) ON DELETE SET NULL,
    key text COLLATE "C" NOT NULL,
    uri text NOT NULL,
    title text NOT NULL DEFAULT '',
    language text NOT NULL DEFAULT 'und',
    media_type text NOT NULL DEFAULT '',
    acl int[] NOT NULL,
    sha256 bytea NOT NULL,
    recipe text NOT NULL,
    version uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz,
    UNIQUE (collection, key),
    UNIQUE (tenant, id),
    FOREIGN KEY (tenant, collection) REFERENCES fiel.collections (tenant, id) ON DELETE CASCADE
);
COMMENT ON COLUMN fiel.documents.key IS 'Identity within the collection (absolute address of the file); ranges are scanned.';
COMMENT ON COLUMN fiel.documents.uri IS 'Address as shown; not unique.';
COMMENT ON COLUMN fiel.documents.sha256 IS 'Of the bytes of the current version''s file.';
COMMENT ON COLUMN fiel.documents.recipe IS 'Versions of parser, chunker and embedder that made the current chunks.';
CREATE INDEX documents_source ON fiel.documents (source);

CREATE TABLE fiel.versions (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant text NOT NULL,
    document uuid NOT NULL,
    number int NOT NULL,
    sha256 bytea NOT NULL,
    text text NOT NULL,
    text_sha256 bytea NOT NULL,
    media_type text NOT NULL DEFAULT '',
    language text NOT NULL DEFAULT 'und',
    parser text NOT NULL DEFAULT '',
    size bigint NOT NULL DEFAULT 0,
    pages int[] NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (document, number),
    FOREIGN KEY (tenant, document) REFERENCES fiel.documents (tenant, id) ON DELETE CASCADE
);
COMMENT ON TABLE fiel.versions IS 'Extracted text as it was; kept after an update and a deletion. Readable as its document is.';

ALTER TABLE fiel.documents
    ADD FOREIGN KEY (version) REFERENCES fiel.versions (id) DEFERRABLE INITIALLY DEFERRED;

CREATE TABLE fiel.embeddings (
    tenant text NOT NULL,
    sha256 bytea NOT NULL,
    model text NOT NULL,
    embedding vector NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, sha256, model)
);
COMMENT ON TABLE fiel.embeddings IS 'Vectors by SHA-256 of the embedded text; by tenant, so that no tenant can probe for another''s texts.';

-- Shelves --------------------------------------------------------------------------------------------------------
-- A shelf is the set of chunks of one collection with equal language and equal ACL. There are few, a caller's are found
-- in microseconds, and `shelf = ANY (…)` is leakproof, so its index works under row security where that of
-- `acl && …` does not.

CREATE TABLE fiel.shelves (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant text NOT NULL,
    collection uuid NOT NULL,
    language text NOT NULL,
    acl int[] NOT NULL,
    seed bigint NOT NULL GENERATED ALWAYS AS (hashtextextended(collection::text || language, 0)) STORED,
    UNIQUE (tenant, collection, language, acl)
);
COMMENT ON TABLE fiel.shelves IS 'Chunks of a collection with equal language and ACL. Outlives its collection: its chunks'' triggers need it until the last.';
COMMENT ON COLUMN fiel.shelves.seed IS 'Seed of the hash that stands for a lexeme in postings.';

CREATE TABLE fiel.shelf_counts (
    shelf int NOT NULL REFERENCES fiel.shelves (id),
    chunks int NOT NULL,
    tokens bigint NOT NULL
);
COMMENT ON TABLE fiel.shelf_counts IS 'Changes of the number of chunks and tokens of a shelf; the sum is the number. Appended, so that no two writers wait for one another.';
CREATE INDEX shelf_counts_shelf ON fiel.shelf_counts (shelf);

-- Chunks ---------------------------------------------------------------------------------------------------------

CREATE TABLE fiel.chunks (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    number bigint NOT NULL GENERATED ALWAYS AS IDENTITY UNIQUE,
    tenant text NOT NULL,
    collection uuid NOT NULL,
    document uuid NOT NULL,
    version uuid NOT NULL REFERENCES fiel.versions (id) ON DELETE CASCADE,
    ordinal int NOT NULL,
    start_at int NOT NULL CHECK (start_at >= 0),
    end_at int NOT NULL CHECK (end_at >= start_at),
    text text NOT NULL,
    context text NOT NULL DEFAULT '',
    language text NOT NULL DEFAULT 'und',
    acl int[] NOT NULL,
    sha256 bytea NOT NULL,
    model text NOT NULL,
    embedding vector NOT NULL CHECK (vector_norm(embedding) > 0),
    dimensions int NOT NULL GENERATED ALWAYS AS (vector_dims(embedding)) STORED,
    shelf int NOT NULL REFERENCES fiel.shelves (id),
    tokens int NOT NULL,
    UNIQUE (version, ordinal),
    FOREIGN KEY (tenant, document) REFERENCES fiel.documents (tenant, id) ON DELETE CASCADE
);
COMMENT ON COLUMN fiel.chunks.sha256 IS 'Of the embedded text.';
COMMENT ON COLUMN fiel.chunks.model IS 'Version of the embedder; vectors of different models are never compared.';
COMMENT ON COLUMN fiel.chunks.shelf IS 'Set by trigger from collection, language and ACL.';
COMMENT ON COLUMN fiel.chunks.tokens IS 'Set by trigger: length in indexed tokens, for BM25.';
CREATE INDEX chunks_shelf ON fiel.chunks (shelf);
CREATE INDEX chunks_document ON fiel.chunks (document);

-- One partial index a width: vectors of other widths lie in the same column. 384 is that of the built-in embedder;
-- others are added when a model of another width is configured (`fiel.infra.corpus.index`).
CREATE INDEX chunks_hnsw_384 ON fiel.chunks
    USING hnsw ((embedding::halfvec(384)) halfvec_cosine_ops) WHERE dimensions = 384;

-- Postings -------------------------------------------------------------------------------------------------------

CREATE TABLE fiel.postings (
    term bigint NOT NULL,
    chunk bigint NOT NULL,
    shelf int NOT NULL,
    tf smallint NOT NULL,
    tokens smallint NOT NULL,
    PRIMARY KEY (term, shelf, chunk) INCLUDE (tf, tokens)
);
COMMENT ON TABLE fiel.postings IS 'Which chunk holds which lexeme, how often, and how long the chunk is: all that BM25 reads. Kept by triggers on chunks.';
CREATE INDEX postings_chunk ON fiel.postings (chunk);

CREATE FUNCTION fiel.text_config(language text) RETURNS regconfig
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
        SELECT CASE language
            WHEN 'ar' THEN 'pg_catalog.arabic'::regconfig
            WHEN 'ca' THEN 'pg_catalog.catalan'::regconfig
            WHEN 'da' THEN 'pg_catalog.danish'::regconfig
            WHEN 'de' THEN 'pg_catalog.german'::regconfig
            WHEN 'el' THEN 'pg_catalog.greek'::regconfig
            WHEN 'en' THEN 'pg_catalog.english'::regconfig
            WHEN 'es' THEN 'pg_catalog.spanish'::regconfig
            WHEN 'eu' THEN 'pg_catalog.basque'::regconfig
            WHEN 'fi' THEN 'pg_catalog.finnish'::regconfig
            WHEN 'fr' THEN 'pg_catalog.french'::regconfig
            WHEN 'ga' THEN 'pg_catalog.irish'::regconfig
            WHEN 'hi' THEN 'pg_catalog.hindi'::regconfig
            WHEN 'hu' THEN 'pg_catalog.hungarian'::regconfig
            WHEN 'hy' THEN 'pg_catalog.armenian'::regconfig
            WHEN 'id' THEN 'pg_catalog.indonesian'::regconfig
            WHEN 'it' THEN 'pg_catalog.italian'::regconfig
            WHEN 'lt' THEN 'pg_catalog.lithuanian'::regconfig
            WHEN 'ne' THEN 'pg_catalog.nepali'::regconfig
            WHEN 'nl' THEN 'pg_catalog.dutch'::regconfig
            WHEN 'no' THEN 'pg_catalog.norwegian'::regconfig
            WHEN 'pt' THEN 'pg_catalog.portuguese'::regconfig
            WHEN 'ro' THEN 'pg_catalog.romanian'::regconfig
            WHEN 'ru' THEN 'pg_catalog.russian'::regconfig
            WHEN 'sr' THEN 'pg_catalog.serbian'::regconfig
            WHEN 'sv' THEN 'pg_catalog.swedish'::regconfig
            WHEN 'ta' THEN 'pg_catalog.tamil'::regconfig
            WHEN 'tr' THEN 'pg_catalog.turkish'::regconfig
            WHEN 'yi' THEN 'pg_catalog.yiddish'::regconfig
            ELSE 'pg_catalog.simple'::regconfig
        END
    $$;
COMMENT ON FUNCTION fiel.text_config(text) IS 'Text search configuration of an ISO 639-1 language; `simple` where there is none.';

CREATE FUNCTION fiel.chunk_place() RETURNS trigger LANGUAGE plpgsql SET search_path = fiel, pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND (NEW.number, NEW.tenant, NEW.collection, NEW.document, NEW.version, NEW.language,
            NEW.context, NEW.text) IS DISTINCT FROM (OLD.number, OLD.tenant, OLD.collection, OLD.document, OLD.version,
            OLD.language, OLD.context, OLD.text) THEN
        RAISE EXCEPTION 'of a chunk only the ACL and the embedding change; another text is another chunk';
    END IF;
    NEW.acl := ARRAY(SELECT DISTINCT grantee FROM unnest(NEW.acl) AS grantee WHERE grantee IS NOT NULL ORDER BY grantee);
    IF TG_OP = 'INSERT' THEN
        NEW.tokens := coalesce((
            SELECT sum(cardinality(positions))
            FROM unnest(to_tsvector(text_config(NEW.language), NEW.context || ' ' || NEW.text))
        ), 0);
    END IF;
    NEW.shelf := (SELECT id FROM shelves WHERE (tenant, collection, language, acl)
        = (NEW.tenant, NEW.collection, NEW.language, NEW.acl));
    IF NEW.shelf IS NULL THEN
        INSERT INTO shelves (tenant, collection, language, acl)
            VALUES (NEW.tenant, NEW.collection, NEW.language, NEW.acl) ON CONFLICT DO NOTHING;
        NEW.shelf := (SELECT id FROM shelves WHERE (tenant, collection, language, acl)
            = (NEW.tenant, NEW.collection, NEW.language, NEW.acl));
    END IF;
    RETURN NEW;
END $$;

-- Folds the appended changes of the shelves named, where they have become many. Rows that another transaction holds are
-- left for the next time, so nobody waits.
CREATE FUNCTION fiel.fold_counts(named int[]) RETURNS void LANGUAGE sql SET search_path = fiel, pg_catalog, pg_temp AS $$
    WITH many AS (
        SELECT shelf FROM shelf_counts WHERE shelf = ANY (named) GROUP BY shelf HAVING count(*) > 64
    ), held AS (
        SELECT c.ctid FROM shelf_counts c JOIN many USING (shelf) FOR UPDATE OF c SKIP LOCKED
    ), gone AS (
        DELETE FROM shelf_counts c USING held WHERE c.ctid = held.ctid RETURNING c.shelf, c.chunks, c.tokens
    )
    INSERT INTO shelf_counts SELECT shelf, sum(chunks), sum(tokens) FROM gone GROUP BY shelf
$$;

CREATE FUNCTION fiel.chunks_added() RETURNS trigger LANGUAGE plpgsql SET search_path = fiel, pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO postings (term, chunk, shelf, tf, tokens)
        SELECT hashtextextended(word.lexeme, shelves.seed), added.number, added.shelf,
            cardinality(word.positions), least(added.tokens, 32767)
        FROM added JOIN shelves ON shelves.id = added.shelf,
            LATERAL unnest(to_tsvector(text_config(added.language), added.context || ' ' || added.text)) AS word
        ON CONFLICT DO NOTHING;
    INSERT INTO shelf_counts SELECT shelf, count(*), sum(tokens) FROM added GROUP BY shelf;
    PERFORM fold_counts(ARRAY(SELECT DISTINCT shelf FROM added));
    RETURN NULL;
END $$;

CREATE FUNCTION fiel.chunks_moved() RETURNS trigger LANGUAGE plpgsql SET search_path = fiel, pg_catalog, pg_temp AS $$
BEGIN
    UPDATE postings SET shelf = after.shelf
        FROM after JOIN before USING (number)
        WHERE postings.chunk = after.number AND after.shelf <> before.shelf;
    INSERT INTO shelf_counts
        SELECT shelf, sum(sign), sum(sign * tokens)
        FROM (
            SELECT after.shelf, 1 AS sign, after.tokens FROM after JOIN before USING (number) WHERE after.shelf <> before.shelf
            UNION ALL
            SELECT before.shelf, -1, before.tokens FROM after JOIN before USING (number) WHERE after.shelf <> before.shelf
        ) AS moves
        GROUP BY shelf;
    RETURN NULL;
END $$;

CREATE FUNCTION fiel.chunks_deleted() RETURNS trigger LANGUAGE plpgsql SET search_path = fiel, pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM postings USING deleted WHERE postings.chunk = deleted.number;
    INSERT INTO shelf_counts SELECT shelf, -count(*), -sum(tokens) FROM deleted GROUP BY shelf;
    PERFORM fold_counts(ARRAY(SELECT DISTINCT shelf FROM deleted));
    RETURN NULL;
END $$;

CREATE TRIGGER place BEFORE INSERT OR UPDATE ON fiel.chunks FOR EACH ROW EXECUTE FUNCTION fiel.chunk_place();
CREATE TRIGGER added AFTER INSERT ON fiel.chunks REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION fiel.chunks_added();
CREATE TRIGGER moved AFTER UPDATE ON fiel.chunks REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION fiel.chunks_moved();
CREATE TRIGGER deleted AFTER DELETE ON fiel.chunks REFERENCING OLD TABLE AS deleted
    FOR EACH STATEMENT EXECUTE FUNCTION fiel.chunks_deleted();

-- Row security ---------------------------------------------------------------------------------------------------
-- `(SELECT f())` is evaluated once a statement, not once a row.

ALTER TABLE fiel.collections ENABLE ROW LEVEL SECURITY;
ALTER TABLE fiel.collections FORCE ROW LEVEL SECURITY;
ALTER TABLE fiel.sources ENABLE ROW LEVEL SECURITY;
ALTER TABLE fiel.sources FORCE ROW LEVEL SECURITY;
ALTER TABLE fiel.documents ENABLE ROW LEVEL SECURITY;
ALTER TABLE fiel.documents FORCE ROW LEVEL SECURITY;
ALTER TABLE fiel.versions ENABLE ROW LEVEL SECURITY;
ALTER TABLE fiel.versions FORCE ROW LEVEL SECURITY;
ALTER TABLE fiel.embeddings ENABLE ROW LEVEL SECURITY;
ALTER TABLE fiel.embeddings FORCE ROW LEVEL SECURITY;
ALTER TABLE fiel.shelves ENABLE ROW LEVEL SECURITY;
ALTER TABLE fiel.shelves FORCE ROW LEVEL SECURITY;
ALTER TABLE fiel.shelf_counts ENABLE ROW LEVEL SECURITY;
ALTER TABLE fiel.shelf_counts FORCE ROW LEVEL SECURITY;
ALTER TABLE fiel.chunks ENABLE ROW LEVEL SECURITY;
ALTER TABLE fiel.chunks FORCE ROW LEVEL SECURITY;
ALTER TABLE fiel.postings ENABLE ROW LEVEL SECURITY;
ALTER TABLE fiel.postings FORCE ROW LEVEL SECURITY;

CREATE POLICY readable ON fiel.shelves FOR SELECT
    USING (tenant = (SELECT fiel.caller_tenant()) AND acl && (SELECT fiel.caller_grants()));
CREATE POLICY inserted ON fiel.shelves FOR INSERT
    WITH CHECK (tenant = (SELECT fiel.caller_tenant()) AND (SELECT fiel.caller_curates()));

CREATE POLICY readable ON fiel.shelf_counts FOR SELECT USING (shelf IN (SELECT id FROM fiel.shelves));
CREATE POLICY inserted ON fiel.shelf_counts FOR INSERT
    WITH CHECK ((SELECT fiel.caller_curates()) AND shelf IN (SELECT id FROM fiel.shelves));
CREATE POLICY updated ON fiel.shelf_counts FOR UPDATE
    USING ((SELECT fiel.caller_curates()) AND shelf IN (SELECT id FROM fiel.shelves));
CREATE POLICY deleted ON fiel.shelf_counts FOR DELETE
    USING ((SELECT fiel.caller_curates()) AND shelf IN (SELECT id FROM fiel.shelves));

-- Existence is told to those who write, and to those who read something in it.
CREATE POLICY readable ON fiel.collections FOR SELECT
    USING (tenant = (SELECT fiel.caller_tenant()) AND ((SELECT fiel.caller_curates()) OR EXISTS (
        SELECT FROM fiel.shelves s WHERE s.collection = collections.id
            AND (SELECT sum(c.chunks) FROM fiel.shelf_counts c WHERE c.shelf = s.id) > 0
    )));
CREATE POLICY written ON fiel.collections
    USING (tenant = (SELECT fiel.caller_tenant()) AND (SELECT fiel.caller_curates()));

CREATE POLICY written ON fiel.sources
    USING (tenant = (SELECT fiel.caller_tenant()) AND (SELECT fiel.caller_curates()));

CREATE POLICY readable ON fiel.documents FOR SELECT
    USING (tenant = (SELECT fiel.caller_tenant()) AND acl && (SELECT fiel.caller_grants()));
CREATE POLICY inserted ON fiel.documents FOR INSERT
    WITH CHECK (tenant = (SELECT fiel.caller_tenant()) AND (SELECT fiel.caller_curates()));
CREATE POLICY updated ON fiel.documents FOR UPDATE
    USING (tenant = (SELECT fiel.caller_tenant()) AND (SELECT fiel.caller_curates()));
CREATE POLICY deleted ON fiel.documents FOR DELETE
    USING (tenant = (SELECT fiel.caller_tenant()) AND (SELECT fiel.caller_curates()));

CREATE POLICY readable ON fiel.versions FOR SELECT
    USING (tenant = (SELECT fiel.caller_tenant())
        AND EXISTS (SELECT FROM fiel.documents d WHERE d.id = versions.document));
CREATE POLICY inserted ON fiel.versions FOR INSERT
    WITH CHECK (tenant = (SELECT fiel.caller_tenant()) AND (SELECT fiel.caller_curates()));
CREATE POLICY deleted ON fiel.versions FOR DELETE
    USING (tenant = (SELECT fiel.caller_tenant()) AND (SELECT fiel.caller_curates()));

CREATE POLICY written ON fiel.embeddings
    USING (tenant = (SELECT fiel.caller_tenant()) AND (SELECT fiel.caller_curates()));

CREATE POLICY readable ON fiel.chunks FOR SELECT
    USING (tenant = (SELECT fiel.caller_tenant()) AND acl && (SELECT fiel.caller_grants()));
CREATE POLICY inserted ON fiel.chunks FOR INSERT
    WITH CHECK (tenant = (SELECT fiel.caller_tenant()) AND (SELECT fiel.caller_curates()));
CREATE POLICY updated ON fiel.chunks FOR UPDATE
    USING (tenant = (SELECT fiel.caller_tenant()) AND (SELECT fiel.caller_curates()));
CREATE POLICY deleted ON fiel.chunks FOR DELETE
    USING (tenant = (SELECT fiel.caller_tenant()) AND (SELECT fiel.caller_curates()));

CREATE POLICY readable ON fiel.postings FOR SELECT USING (shelf IN (SELECT id FROM fiel.shelves));
CREATE POLICY inserted ON fiel.postings FOR INSERT
    WITH CHECK ((SELECT fiel.caller_curates()) AND shelf IN (SELECT id FROM fiel.shelves));
CREATE POLICY updated ON fiel.postings FOR UPDATE
    USING ((SELECT fiel.caller_curates()) AND shelf IN (SELECT id FROM fiel.shelves));
CREATE POLICY deleted ON fiel.postings FOR DELETE
    USING ((SELECT fiel.caller_curates()) AND shelf IN (SELECT id FROM fiel.shelves));

GRANT SELECT, INSERT, UPDATE, DELETE ON fiel.collections, fiel.sources, fiel.documents, fiel.chunks, fiel.postings,
    fiel.shelf_counts, fiel.embeddings TO fiel_runtime;
GRANT SELECT, INSERT, DELETE ON fiel.versions TO fiel_runtime;
GRANT SELECT, INSERT ON fiel.shelves TO fiel_runtime;
