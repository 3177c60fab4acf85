-- Trigger functions are planned once a session, by the first change. Where that was of a thousand chunks, the plan read
-- all postings, and each later change of one chunk did so too: a second and a half where 100,000 chunks are kept. By
-- index the thousand are sooner gone as well. Takes no time.
ALTER FUNCTION fiel.chunks_moved() SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off;
ALTER FUNCTION fiel.chunks_deleted() SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off;
