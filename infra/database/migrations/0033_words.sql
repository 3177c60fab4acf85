-- The words of each chunk in one row. A search weighs every word of the question in some forty chunks; by postings that
-- was a look into the index for each word and chunk, most of them at a page that no cache held. The index of postings by
-- chunk, which had an entry for each word too, is no longer needed. Ten seconds for 100,000 chunks, in which nobody
-- searches or writes.

CREATE TABLE fiel.words (
    chunk bigint NOT NULL,
    shelf int NOT NULL,
    terms bigint[] NOT NULL,
    tfs   smallint[] NOT NULL
) WITH (toast_tuple_target = 8160);
ALTER TABLE fiel.words ALTER terms SET STORAGE MAIN, ALTER tfs SET STORAGE MAIN;
COMMENT ON TABLE fiel.words IS 'What postings say of a chunk. Kept by triggers on chunks.';
COMMENT ON COLUMN fiel.words.terms IS 'Ascending; none where a chunk has no words, and then it has no row.';
COMMENT ON COLUMN fiel.words.tfs IS 'How often each stands in the chunk.';

LOCK TABLE fiel.chunks IN SHARE ROW EXCLUSIVE MODE; -- waits for writers whose triggers know nothing of this table
ALTER TABLE fiel.postings NO FORCE ROW LEVEL SECURITY;
INSERT INTO fiel.words
    SELECT chunk, shelf, array_agg(term ORDER BY term), array_agg(tf ORDER BY term)
    FROM fiel.postings GROUP BY chunk, shelf ORDER BY chunk;
ALTER TABLE fiel.postings FORCE ROW LEVEL SECURITY;
ALTER TABLE fiel.words ADD PRIMARY KEY (chunk);
DROP INDEX fiel.postings_chunk;

CREATE OR REPLACE FUNCTION fiel.chunks_added() RETURNS trigger
LANGUAGE plpgsql SET search_path = fiel, pg_catalog, pg_temp AS $$
BEGIN
    WITH found AS (
        SELECT DISTINCT ON (added.number, term) added.number, added.shelf, term, cardinality(word.positions)::smallint AS tf
        FROM added JOIN shelves ON shelves.id = added.shelf,
            LATERAL unnest(to_tsvector(text_config(added.language), added.context || ' ' || added.text)) AS word,
            LATERAL hashtextextended(word.lexeme, shelves.seed) AS term
        ORDER BY added.number, term
    ), kept AS (
        INSERT INTO words SELECT number, shelf, array_agg(term ORDER BY term), array_agg(tf ORDER BY term)
        FROM found GROUP BY number, shelf
    )
    INSERT INTO postings (term, chunk, shelf, tf, tokens)
        SELECT term, found.number, found.shelf, tf, least(added.tokens, 32767) FROM found JOIN added USING (number);
    INSERT INTO vectors SELECT shelf, number, hashtextextended(model, dimensions), half(embedding) FROM added;
    INSERT INTO shelf_counts SELECT shelf, count(*), sum(tokens) FROM added GROUP BY shelf;
    PERFORM fold_counts(ARRAY(SELECT DISTINCT shelf FROM added));
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION fiel.chunks_moved() RETURNS trigger
LANGUAGE plpgsql SET search_path = fiel, pg_catalog, pg_temp AS $$
BEGIN
    UPDATE postings SET shelf = moved.shelf
        FROM (
            SELECT words.chunk, words.shelf AS old, after.shelf, unnest(words.terms) AS term
            FROM after JOIN words ON words.chunk = after.number WHERE after.shelf <> words.shelf
        ) AS moved
        WHERE (postings.term, postings.shelf, postings.chunk) = (moved.term, moved.old, moved.chunk);
    UPDATE words SET shelf = after.shelf FROM after WHERE words.chunk = after.number AND after.shelf <> words.shelf;
    UPDATE vectors
        SET shelf = after.shelf, space = hashtextextended(after.model, after.dimensions), half = half(after.embedding)
        FROM after JOIN before USING (number)
        WHERE (vectors.shelf, vectors.chunk) = (before.shelf, before.number);
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

CREATE OR REPLACE FUNCTION fiel.chunks_deleted() RETURNS trigger
LANGUAGE plpgsql SET search_path = fiel, pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM postings USING (
            SELECT words.chunk, words.shelf, unnest(words.terms) AS term FROM deleted JOIN words ON words.chunk = deleted.number
        ) AS gone
        WHERE (postings.term, postings.shelf, postings.chunk) = (gone.term, gone.shelf, gone.chunk);
    DELETE FROM words USING deleted WHERE words.chunk = deleted.number;
    DELETE FROM vectors USING deleted WHERE (vectors.shelf, vectors.chunk) = (deleted.shelf, deleted.number);
    INSERT INTO shelf_counts SELECT shelf, -count(*), -sum(tokens) FROM deleted GROUP BY shelf;
    PERFORM fold_counts(ARRAY(SELECT DISTINCT shelf FROM deleted));
    RETURN NULL;
END $$;

ALTER TABLE fiel.words ENABLE ROW LEVEL SECURITY;
ALTER TABLE fiel.words FORCE ROW LEVEL SECURITY;
CREATE POLICY readable ON fiel.words FOR SELECT USING (shelf = ANY (ARRAY(SELECT id FROM fiel.shelves)));
CREATE POLICY inserted ON fiel.words FOR INSERT
    WITH CHECK ((SELECT fiel.caller_curates()) AND shelf IN (SELECT id FROM fiel.shelves));
CREATE POLICY updated ON fiel.words FOR UPDATE
    USING ((SELECT fiel.caller_curates()) AND shelf IN (SELECT id FROM fiel.shelves));
CREATE POLICY deleted ON fiel.words FOR DELETE
    USING ((SELECT fiel.caller_curates()) AND shelf IN (SELECT id FROM fiel.shelves));
