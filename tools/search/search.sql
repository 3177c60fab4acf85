-- Search in PostgreSQL. Everything here runs in a transaction in which the caller is set. Row security holds, and each
-- query says itself who may read, so that neither wall stands alone.

-- name: collection
-- A row for each language that the caller reads something in; one row with NULL where the collection is empty.
SELECT c.name, c.policy, s.language, sum(n.chunks)::bigint AS chunks
FROM fiel.collections c
LEFT JOIN (fiel.shelves s JOIN fiel.audiences a ON a.id = s.audience AND a.acl && (SELECT fiel.caller_grants()))
    ON s.tenant = c.tenant AND s.collection = c.id
LEFT JOIN LATERAL (SELECT sum(chunks) AS chunks FROM fiel.shelf_counts WHERE shelf = s.id) n ON true
WHERE c.tenant = (SELECT fiel.caller_tenant()) AND c.name = %(collection)s
    -- That it exists is told to those who write, and to those who read something in it.
    AND (n.chunks > 0 OR (SELECT fiel.caller_curates()))
GROUP BY c.name, c.policy, s.language
ORDER BY chunks DESC NULLS LAST, s.language

-- name: few
-- All visible chunks by the vectors that stand shelf by shelf. Chunks of another model come last, so that no visible one
-- is out of reach.
SELECT v.chunk AS number, CASE WHEN v.space = (SELECT hashtextextended(%(model)s, %(dimensions)s))
    THEN v.half <#> (SELECT fiel.half(%(vector)s::vector)) END AS far
FROM fiel.vectors v
WHERE (SELECT few FROM size) AND v.shelf = ANY (ARRAY(SELECT id FROM scope))
ORDER BY far NULLS LAST, v.chunk
LIMIT %(depth)s

-- name: few_wide
-- The same by the chunks themselves, for vectors that are too wide to stand by the shelf.
SELECT c.number, CASE WHEN c.model = %(model)s AND c.dimensions = %(dimensions)s
    THEN c.embedding <=> %(vector)s::vector END AS far
FROM fiel.chunks c
WHERE (SELECT few FROM size) AND c.shelf = ANY (ARRAY(SELECT id FROM scope))
ORDER BY far NULLS LAST, c.number
LIMIT %(depth)s

-- name: hybrid
-- Dense and full-text candidates, each in its own list, fused by score; formulas are those of fiel.tools.search.fusion.
WITH scope AS MATERIALIZED (
    -- The shelves that the caller may read, with their sizes.
    SELECT s.id, s.audience, s.language, s.seed, n.chunks, n.tokens
    FROM fiel.collections c
    JOIN fiel.shelves s ON s.tenant = c.tenant AND s.collection = c.id
    JOIN fiel.audiences a ON a.id = s.audience AND a.acl && (SELECT fiel.caller_grants())
    CROSS JOIN LATERAL (
        SELECT sum(chunks) AS chunks, sum(tokens) AS tokens FROM fiel.shelf_counts WHERE shelf = s.id
    ) n
    WHERE c.tenant = (SELECT fiel.caller_tenant()) AND c.name = %(collection)s AND n.chunks > 0
), size AS MATERIALIZED (
    -- Comparing all costs by the visible chunks, the index by how many it must pass to find enough of them: the first is
    -- cheaper while visible^2 is below some 2,500 times all chunks of the database, which the catalogue knows roughly.
    -- The more chunks, and the smaller the visible share, the more neighbours the index has to look at to find .99 of the
    -- ten nearest: 60 of 10,000 that are all visible, 120 of 100,000, and 170 of these where half are.
    SELECT visible, coalesce(visible <= %(exact)s::bigint, visible ^ 2 <= 2500 * chunks) AS few,
        set_config('hnsw.ef_search', greatest(60, least(1000,
            60 * (chunks / 10000) ^ 0.3 * (1.85 - 0.85 * visible / chunks)))::int::text, true) AS looked_at
    FROM (SELECT coalesce(sum(chunks), 0)::float8 AS visible FROM scope) AS counted
    CROSS JOIN LATERAL (
        SELECT greatest(reltuples, visible, 1) AS chunks FROM pg_catalog.pg_class WHERE oid = 'fiel.chunks'::regclass
    ) AS kept
), near AS MATERIALIZED (
    -- The dense list: of few visible, all are compared; of many, the index gives the neighbours. Both by half precision.
    SELECT number, row_number() OVER (ORDER BY far NULLS LAST, number) AS place, count(far) OVER () AS compared
    FROM (
        ($few)
        UNION ALL
        (SELECT c.number, c.embedding::halfvec($dimensions) <=> %(vector)s::vector::halfvec($dimensions) AS far
        FROM fiel.chunks c
        WHERE NOT (SELECT few FROM size)
            AND c.dimensions = $dimensions AND c.model = %(model)s
            AND (c.shelf = ANY (ARRAY(SELECT id FROM scope))) IS TRUE
        ORDER BY c.embedding::halfvec($dimensions) <=> %(vector)s::vector::halfvec($dimensions)
        LIMIT %(depth)s)
    ) AS found
), tongues AS MATERIALIZED (
    SELECT language, seed, sum(chunks)::float8 AS chunks, greatest(sum(tokens)::float8 / sum(chunks), 1) AS length
    FROM scope GROUP BY language, seed
), asked AS MATERIALIZED (
    -- Tokens of the question without the stop words of its own language.
    SELECT lexeme AS token
    FROM unnest(to_tsvector('pg_catalog.simple', %(text)s))
    WHERE to_tsvector(fiel.text_config(%(language)s), lexeme) <> ''
    ORDER BY positions[1], lexeme
    LIMIT 48
), terms AS MATERIALIZED (
    -- Each token as a lexeme of each language that there are chunks of: names and numbers meet across languages.
    SELECT DISTINCT hashtextextended(word.lexeme, t.seed) AS term, t.seed, t.chunks, t.length
    FROM tongues t, asked a, unnest(to_tsvector(fiel.text_config(t.language), a.token)) AS word
), counted AS MATERIALIZED (
    -- How many visible chunks hold each, as far as it takes to know that it is common.
    SELECT t.term, t.seed, t.length, d.df, ln(1 + (t.chunks - least(d.df, t.chunks) + 0.5) / (d.df + 0.5)) AS idf
    FROM terms t CROSS JOIN LATERAL (
        SELECT count(*)::float8 AS df FROM (
            SELECT FROM fiel.postings p
            WHERE p.term = t.term AND p.shelf = ANY (ARRAY(SELECT id FROM scope))
            LIMIT %(common)s + 1
        ) AS held
    ) d
), weights AS MATERIALIZED (
    -- Literals of double precision, since arithmetic on numeric is ten times slower.
    SELECT term, df > %(common)s AS common, idf / sum(idf) OVER (PARTITION BY seed) AS weight,
        0.54::float8 AS flat, 0.36::float8 / length AS slope
    FROM counted
), matched AS MATERIALIZED (
    -- Common words find nothing by themselves.
    SELECT p.chunk, sum(w.weight * p.tf / (p.tf + w.flat + w.slope * p.tokens)) AS coverage
    FROM weights w CROSS JOIN LATERAL (
        SELECT p.chunk, p.tf, p.tokens FROM fiel.postings p
        WHERE NOT w.common AND p.term = w.term AND p.shelf = ANY (ARRAY(SELECT id FROM scope))
        OFFSET 0
    ) p
    GROUP BY p.chunk
), listed AS MATERIALIZED (
    SELECT chunk FROM matched ORDER BY coverage DESC, chunk LIMIT %(width)s
), candidates AS MATERIALIZED (
    -- The first of both lists and the last that was compared, each chunk once, with its text, its true distance, and what
    -- it holds of the question. Common words count here too. The words of a chunk stand in ascending order.
    SELECT c.number, c.id, c.document, c.version, c.text, c.context, c.start_at, c.end_at, c.language,
        c.number = ANY (ARRAY(SELECT chunk FROM listed)) AS listed,
        CASE WHEN c.model = %(model)s AND c.dimensions = %(dimensions)s THEN c.embedding <=> %(vector)s::vector END AS distance,
        coalesce((
            SELECT sum(w.weight * h.tfs[w.place] / (h.tfs[w.place] + w.flat + w.slope * least(c.tokens, 32767)))
            FROM (SELECT *, width_bucket(term, h.terms) AS place FROM weights OFFSET 0) w WHERE h.terms[w.place] = w.term
        ), 0) AS coverage
    FROM fiel.chunks c
    LEFT JOIN fiel.words h ON h.chunk = c.number AND h.shelf = ANY (ARRAY(SELECT id FROM scope))
    WHERE c.number = ANY (ARRAY(
            SELECT number FROM near WHERE place <= %(width)s OR place = compared UNION ALL SELECT chunk FROM listed
        ))
        AND (c.shelf = ANY (ARRAY(SELECT id FROM scope))) IS TRUE
), span AS MATERIALIZED (
    SELECT min(1 - c.distance) AS low, max(1 - c.distance) AS high FROM candidates c JOIN near n USING (number)
), ranked AS MATERIALIZED (
    SELECT f.number, f.id, f.similarity, f.dense_rank,
        CASE WHEN f.listed THEN row_number() OVER (PARTITION BY f.listed ORDER BY f.coverage DESC, f.number) END AS text_rank,
        round((coalesce(CASE WHEN s.high > s.low THEN (f.similarity - s.low) / (s.high - s.low) ELSE f.similarity - s.high + 1
            END, 0) + 2.5::float8 * f.coverage)::numeric / 3.5, 6) AS score
    FROM (
        SELECT c.number, c.id, c.listed, 1 - c.distance AS similarity, c.coverage,
            CASE WHEN c.distance IS NOT NULL THEN n.place END AS dense_rank
        FROM candidates c
        LEFT JOIN near n USING (number)
    ) f
    CROSS JOIN span s
)
SELECT c.document::text, d.uri, d.title, d.licence, d.trust, c.version::text, r.id::text AS chunk, c.text, c.context,
    c.start_at AS start, c.end_at AS "end", c.language, r.score::text, r.dense_rank::int, r.text_rank::int,
    round(r.similarity::numeric, 6)::text AS similarity, (SELECT visible FROM size)::bigint AS visible
FROM (SELECT * FROM ranked ORDER BY score DESC, id LIMIT %(k)s) r
JOIN candidates c USING (number)
CROSS JOIN LATERAL (
    SELECT d.uri, d.title, d.licence, d.trust FROM fiel.documents d
    WHERE d.id = c.document AND d.audience = ANY (ARRAY(SELECT audience FROM scope))
    LIMIT 1
) d
ORDER BY r.score DESC, r.id
