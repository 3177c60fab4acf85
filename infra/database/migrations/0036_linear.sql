-- A session plans a trigger function once, and none of its plans may take the square of the chunks where it was made for
-- few: new words are written without looking at the new chunks a second time, and what moves is found by index, not by
-- comparing the rows of before with those of after. Takes no time.

CREATE OR REPLACE FUNCTION fiel.chunks_added() RETURNS trigger
LANGUAGE plpgsql SET search_path = fiel, pg_catalog, pg_temp AS $$
BEGIN
    WITH found AS (
        SELECT DISTINCT ON (added.number, term) added.number, added.shelf, term,
            cardinality(word.positions)::smallint AS tf, least(added.tokens, 32767) AS tokens
        FROM added JOIN shelves ON shelves.id = added.shelf,
            LATERAL unnest(to_tsvector(text_config(added.language), added.context || ' ' || added.text)) AS word,
            LATERAL hashtextextended(word.lexeme, shelves.seed) AS term
        ORDER BY added.number, term
    ), kept AS (
        INSERT INTO words SELECT number, shelf, array_agg(term ORDER BY term), array_agg(tf ORDER BY term)
        FROM found GROUP BY number, shelf
    )
    INSERT INTO postings (term, chunk, shelf, tf, tokens)
        SELECT term, number, shelf, tf, tokens FROM found;
    INSERT INTO vectors SELECT shelf, number, hashtextextended(model, dimensions), half(embedding) FROM added;
    INSERT INTO shelf_counts SELECT shelf, count(*), sum(tokens) FROM added GROUP BY shelf;
    PERFORM fold_counts(ARRAY(SELECT DISTINCT shelf FROM added));
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION fiel.chunks_moved() RETURNS trigger
LANGUAGE plpgsql SET search_path = fiel, pg_catalog, pg_temp
SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off AS $$
BEGIN
    UPDATE postings SET shelf = moved.shelf
        FROM (
            SELECT before.number, before.shelf AS old, chunks.shelf, unnest(words.terms) AS term
            FROM before JOIN chunks USING (number) JOIN words ON words.chunk = before.number
            WHERE chunks.shelf <> before.shelf
        ) AS moved
        WHERE (postings.term, postings.shelf, postings.chunk) = (moved.term, moved.old, moved.number);
    UPDATE words SET shelf = chunks.shelf
        FROM before JOIN chunks USING (number)
        WHERE words.chunk = before.number AND chunks.shelf <> before.shelf;
    UPDATE vectors
        SET shelf = chunks.shelf, space = hashtextextended(chunks.model, chunks.dimensions), half = half(chunks.embedding)
        FROM before JOIN chunks USING (number)
        WHERE (vectors.shelf, vectors.chunk) = (before.shelf, before.number);
    INSERT INTO shelf_counts
        SELECT shelf, sum(sign), sum(sign * tokens)
        FROM (SELECT shelf, 1 AS sign, tokens FROM after UNION ALL SELECT shelf, -1, tokens FROM before) AS moves
        GROUP BY shelf HAVING sum(sign) <> 0 OR sum(sign * tokens) <> 0;
    RETURN NULL;
END $$;
