-- Search in PostgreSQL. Everything here runs in a transaction in which the caller is set. Row security holds, and each
-- query says itself who may read, so that neither wall stands alone.

-- name: settings
-- The statement below is planned once a connection: planning it costs more than running it. Its plan is the same for
-- every collection and caller because the statement itself chooses by the number of visible chunks, and because without
-- sequential scans each step has one index to go by. The iterative scan goes on until enough rows pass the filters.
SELECT set_config('plan_cache_mode', 'force_generic_plan', true), set_config('enable_seqscan', 'off', true),
    set_config('jit', 'off', true), set_config('hnsw.ef_search', '128', true),
    set_config('hnsw.iterative_scan', 'relaxed_order', true), set_config('hnsw.max_scan_tuples', '40000', true),
    set_config('max_parallel_workers_per_gather', '0', true)

-- name: collection
-- A row for each language that the caller reads something in; one row with NULL where the collection is empty.
SELECT c.name, c.policy, s.language, sum(n.chunks)::bigint AS chunks
FROM fiel.collections c
LEFT JOIN (fiel.shelves s JOIN fiel.audiences a ON a.id = s.audience AND a.acl && (SELECT fiel.caller_grants()))
    ON s.tenant = c.tenant AND s.collection = c.id
LEFT JOIN LATERAL (SELECT sum(chunks) AS chunks FROM fiel.shelf_counts WHERE shelf = s.id) n ON true
WHERE c.tenant = (SELECT fiel.caller_tenant()) AND c.name = %(collection)s
GROUP BY c.name, c.policy, s.language
ORDER BY chunks DESC NULLS LAST, s.language

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
    SELECT coalesce(sum(chunks), 0) AS visible FROM scope
), near AS MATERIALIZED (
    -- Few visible: all of them are compared. Chunks of another model come last, so that no visible one is out of reach.
    (
        SELECT c.number, c.shelf, CASE WHEN c.model = %(model)s AND c.dimensions = %(dimensions)s
            THEN c.embedding <=> %(vector)s::vector END AS distance
        FROM fiel.chunks c
        WHERE (SELECT visible FROM size) <= %(exact)s
            AND c.shelf = ANY (ARRAY(SELECT id FROM scope))
        ORDER BY distance NULLS LAST, c.number
        LIMIT %(depth)s
    )
    UNION ALL
    -- Many visible: the index gives half-precision neighbours, the true distance is taken outside of it.
    (
        SELECT n.number, n.shelf, n.embedding <=> %(vector)s::vector AS distance
        FROM (
            SELECT c.number, c.shelf, c.embedding
            FROM fiel.chunks c
            WHERE (SELECT visible FROM size) > %(exact)s
                AND c.dimensions = $dimensions AND c.model = %(model)s
                AND (c.shelf = ANY (ARRAY(SELECT id FROM scope))) IS TRUE
            ORDER BY c.embedding::halfvec($dimensions) <=> %(vector)s::vector::halfvec($dimensions)
            LIMIT %(depth)s
        ) n
    )
), dense AS MATERIALIZED (
    SELECT number, shelf, distance,
        CASE WHEN distance IS NOT NULL THEN row_number() OVER (ORDER BY distance NULLS LAST, number) END AS rank
    FROM near
), span AS MATERIALIZED (
    SELECT min(1 - distance) AS low, max(1 - distance) AS high FROM dense
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
), hits AS MATERIALIZED (
    -- Postings of each term, of visible chunks only, and no more than show that a term is common.
    SELECT t.term, p.chunk, p.shelf, p.tf, p.tokens
    FROM terms t CROSS JOIN LATERAL (
        SELECT p.chunk, p.shelf, p.tf, p.tokens FROM fiel.postings p
        WHERE p.term = t.term AND p.shelf = ANY (ARRAY(SELECT id FROM scope))
        LIMIT %(common)s + 1
    ) p
), frequencies AS MATERIALIZED (
    SELECT term, count(*) AS df FROM hits GROUP BY term
), weights AS MATERIALIZED (
    SELECT term, length, df, idf, sum(idf * 1.9) OVER (PARTITION BY seed) AS ideal
    FROM (
        SELECT t.term, t.seed, t.length, coalesce(f.df, 0) AS df,
            ln(1 + (t.chunks - least(coalesce(f.df, 0), t.chunks) + 0.5) / (coalesce(f.df, 0) + 0.5)) AS idf
        FROM terms t LEFT JOIN frequencies f ON f.term = t.term
    ) AS weighed
), matched AS MATERIALIZED (
    SELECT h.chunk, h.shelf, sum(w.idf / w.ideal * h.tf * 1.9 / (h.tf + 0.9 * (0.6 + 0.4 * h.tokens / w.length))) AS coverage
    FROM hits h JOIN weights w ON w.term = h.term
    WHERE w.df <= %(common)s AND w.ideal > 0
    GROUP BY h.chunk, h.shelf
), listed AS MATERIALIZED (
    SELECT chunk, shelf FROM matched ORDER BY coverage DESC, chunk LIMIT %(depth)s
), candidates AS MATERIALIZED (
    SELECT chunk AS number, shelf FROM listed UNION SELECT number, shelf FROM dense
), common AS MATERIALIZED (
    -- Common words find nothing by themselves, but count for what was found.
    SELECT c.number AS chunk, sum(w.idf / w.ideal * p.tf * 1.9 / (p.tf + 0.9 * (0.6 + 0.4 * p.tokens / w.length))) AS coverage
    FROM weights w
    JOIN candidates c ON w.df > %(common)s AND w.ideal > 0
    CROSS JOIN LATERAL (
        SELECT p.tf, p.tokens FROM fiel.postings p
        WHERE p.term = w.term AND p.shelf = c.shelf AND p.chunk = c.number AND p.shelf IN (SELECT id FROM scope)
        LIMIT 1
    ) p
    GROUP BY c.number
), texts AS MATERIALIZED (
    SELECT c.number, coalesce(m.coverage, 0) + coalesce(o.coverage, 0) AS coverage, l.chunk IS NOT NULL AS listed
    FROM candidates c
    LEFT JOIN matched m ON m.chunk = c.number
    LEFT JOIN common o ON o.chunk = c.number
    LEFT JOIN listed l ON l.chunk = c.number
), fused AS MATERIALIZED (
    SELECT c.id, c.document, c.version, c.text, c.context, c.start_at, c.end_at, c.language, f.similarity, d.rank AS dense_rank,
        CASE WHEN t.listed THEN row_number() OVER (PARTITION BY t.listed ORDER BY t.coverage DESC, c.number) END AS text_rank,
        round((coalesce(CASE WHEN s.high > s.low THEN (f.similarity - s.low) / (s.high - s.low) ELSE f.similarity - s.high + 1
            END, 0) + 2.5 * t.coverage)::numeric / 3.5, 6) AS score
    FROM texts t
    -- One by one: a join would read the whole index in order, because the planner cannot know how few there are.
    CROSS JOIN LATERAL (
        SELECT c.* FROM fiel.chunks c
        WHERE c.number = t.number AND c.shelf = ANY (ARRAY(SELECT id FROM scope))
        LIMIT 1
    ) c
    LEFT JOIN dense d ON d.number = t.number
    CROSS JOIN span s
    CROSS JOIN LATERAL (
        SELECT 1 - CASE WHEN d.distance IS NOT NULL THEN d.distance
            WHEN c.model = %(model)s AND c.dimensions = %(dimensions)s THEN c.embedding <=> %(vector)s::vector
            END AS similarity
    ) f
)
SELECT f.document::text, d.uri, d.title, d.licence, d.trust, f.version::text, f.id::text AS chunk, f.text, f.context, f.start_at AS start,
    f.end_at AS "end", f.language, f.score::text, f.dense_rank::int, f.text_rank::int,
    round(f.similarity::numeric, 6)::text AS similarity, (SELECT visible FROM size)::bigint AS visible
FROM (SELECT * FROM fused ORDER BY score DESC, id LIMIT %(k)s) f
CROSS JOIN LATERAL (
    SELECT d.uri, d.title, d.licence, d.trust FROM fiel.documents d
    WHERE d.id = f.document AND d.audience = ANY (ARRAY(SELECT audience FROM scope))
    LIMIT 1
) d
ORDER BY f.score DESC, f.id
