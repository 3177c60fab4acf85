-- Vectors that search compares one by one where a caller may read few chunks of many: half the precision, and all that
-- the comparison reads stands in one index, shelf by shelf. A vector on its chunk is wider than what PostgreSQL keeps in
-- a row, so reading it there cost three microseconds; here it costs a sixth of that.

CREATE FUNCTION fiel.half(embedding vector) RETURNS halfvec LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN vector_dims(embedding) <= 1200 THEN l2_normalize(embedding)::halfvec END;
COMMENT ON FUNCTION fiel.half(vector) IS 'Of length 1, for inner products; NULL where it is too wide for an index entry.';

CREATE TABLE fiel.vectors (
    shelf int NOT NULL,
    chunk bigint NOT NULL,
    space bigint NOT NULL,
    half  halfvec,
    PRIMARY KEY (shelf, chunk) INCLUDE (space, half)
);
ALTER TABLE fiel.vectors ALTER half SET STORAGE PLAIN;
COMMENT ON TABLE fiel.vectors IS 'The vector of each chunk, for comparing all of a shelf. Kept by triggers on chunks.';
COMMENT ON COLUMN fiel.vectors.space IS 'Hash of the model and its dimensions: vectors of different ones are never compared.';

ALTER TABLE fiel.chunks NO FORCE ROW LEVEL SECURITY;
INSERT INTO fiel.vectors
    SELECT shelf, number, hashtextextended(model, dimensions), fiel.half(embedding) FROM fiel.chunks ORDER BY shelf, number;
ALTER TABLE fiel.chunks FORCE ROW LEVEL SECURITY;

CREATE OR REPLACE FUNCTION fiel.chunks_added() RETURNS trigger
LANGUAGE plpgsql SET search_path = fiel, pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO postings (term, chunk, shelf, tf, tokens)
        SELECT hashtextextended(word.lexeme, shelves.seed), added.number, added.shelf,
            cardinality(word.positions), least(added.tokens, 32767)
        FROM added JOIN shelves ON shelves.id = added.shelf,
            LATERAL unnest(to_tsvector(text_config(added.language), added.context || ' ' || added.text)) AS word
        ON CONFLICT DO NOTHING;
    INSERT INTO vectors SELECT shelf, number, hashtextextended(model, dimensions), half(embedding) FROM added;
    INSERT INTO shelf_counts SELECT shelf, count(*), sum(tokens) FROM added GROUP BY shelf;
    PERFORM fold_counts(ARRAY(SELECT DISTINCT shelf FROM added));
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION fiel.chunks_moved() RETURNS trigger
LANGUAGE plpgsql SET search_path = fiel, pg_catalog, pg_temp AS $$
BEGIN
    UPDATE postings SET shelf = after.shelf
        FROM after JOIN before USING (number)
        WHERE postings.chunk = after.number AND after.shelf <> before.shelf;
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
    DELETE FROM postings USING deleted WHERE postings.chunk = deleted.number;
    DELETE FROM vectors USING deleted WHERE (vectors.shelf, vectors.chunk) = (deleted.shelf, deleted.number);
    INSERT INTO shelf_counts SELECT shelf, -count(*), -sum(tokens) FROM deleted GROUP BY shelf;
    PERFORM fold_counts(ARRAY(SELECT DISTINCT shelf FROM deleted));
    RETURN NULL;
END $$;

ALTER TABLE fiel.vectors ENABLE ROW LEVEL SECURITY;
ALTER TABLE fiel.vectors FORCE ROW LEVEL SECURITY;
CREATE POLICY readable ON fiel.vectors FOR SELECT USING (shelf IN (SELECT id FROM fiel.shelves));
CREATE POLICY inserted ON fiel.vectors FOR INSERT
    WITH CHECK ((SELECT fiel.caller_curates()) AND shelf IN (SELECT id FROM fiel.shelves));
CREATE POLICY updated ON fiel.vectors FOR UPDATE
    USING ((SELECT fiel.caller_curates()) AND shelf IN (SELECT id FROM fiel.shelves));
CREATE POLICY deleted ON fiel.vectors FOR DELETE
    USING ((SELECT fiel.caller_curates()) AND shelf IN (SELECT id FROM fiel.shelves));
