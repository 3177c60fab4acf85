-- Everything that an ingest writes, and what reads a stored text back. All of it runs for a caller (row security).

-- name: grant_ids
SELECT fiel.grant_ids(%(names)s::text[])

-- name: open_collection
-- The collection's id; it comes to be at the first ingest.
WITH made AS (
    INSERT INTO fiel.collections (tenant, name) VALUES (fiel.caller_tenant(), %(name)s)
    ON CONFLICT (tenant, name) DO NOTHING
    RETURNING id
)
SELECT id FROM made
UNION ALL
SELECT id FROM fiel.collections WHERE tenant = fiel.caller_tenant() AND name = %(name)s
LIMIT 1

-- name: open_source
INSERT INTO fiel.sources (tenant, collection, uri) VALUES (fiel.caller_tenant(), %(collection)s, %(uri)s)
ON CONFLICT (collection, uri) DO UPDATE SET uri = excluded.uri
RETURNING id

-- name: close_source
UPDATE fiel.sources SET synced_at = now() WHERE id = %(source)s

-- name: try_lock
-- Held until the transaction ends. A server that ends idle transactions would end the lock with it.
SELECT set_config('idle_in_transaction_session_timeout', '0', true),
       pg_try_advisory_xact_lock(hashtextextended(%(what)s, 20118))

-- name: narrow_documents
-- Whom the new readers leave out loses access before anything else happens.
UPDATE fiel.documents
   SET allowed = ARRAY(SELECT unnest(allowed) INTERSECT SELECT unnest(%(acl)s::int[]) ORDER BY 1)
 WHERE collection = %(collection)s AND key >= %(first)s AND key < %(beyond)s AND NOT allowed <@ %(acl)s::int[]

-- name: mark_documents
-- A licence and a trust hold at once for all that the source has brought, whatever comes of the rest of the ingest.
UPDATE fiel.documents
   SET licence = %(licence)s, trust = %(trust)s
 WHERE collection = %(collection)s AND key >= %(first)s AND key < %(beyond)s
   AND (licence, trust) IS DISTINCT FROM (%(licence)s, %(trust)s)

-- name: stored
-- Documents that are not deleted, by key, after one key and up to another, with whom an ingest allowed.
SELECT id, key, uri, sha256, recipe, allowed, source
  FROM fiel.documents
 WHERE collection = %(collection)s AND key > %(after)s AND key <= %(upto)s AND deleted_at IS NULL
 ORDER BY key
 LIMIT %(most)s

-- name: regrant
UPDATE fiel.documents AS d
   SET allowed = %(acl)s::int[], uri = new.uri, source = %(source)s, updated_at = now()
  FROM unnest(%(ids)s::uuid[], %(uris)s::text[]) AS new (id, uri)
 WHERE d.id = new.id

-- name: tombstone
UPDATE fiel.documents
   SET deleted_at = now(), updated_at = now(), allowed = %(curators)s::int[]
 WHERE id = ANY (%(ids)s::uuid[]) AND deleted_at IS NULL

-- name: drop_chunks
DELETE FROM fiel.chunks WHERE document = ANY (%(ids)s::uuid[]) RETURNING sha256

-- name: known_vectors
SELECT sha256 FROM fiel.embeddings
 WHERE tenant = fiel.caller_tenant() AND model = %(model)s AND sha256 = ANY (%(hashes)s::bytea[])

-- name: keep_vectors
INSERT INTO fiel.embeddings (tenant, sha256, model, embedding)
SELECT fiel.caller_tenant(), new.sha256, %(model)s, new.embedding::vector
  FROM unnest(%(hashes)s::bytea[], %(vectors)s::text[]) AS new (sha256, embedding)
 ORDER BY new.sha256
    ON CONFLICT DO NOTHING

-- name: find_document
SELECT d.id, d.version, d.sha256, d.recipe, d.deleted_at IS NOT NULL, v.text_sha256
  FROM fiel.documents AS d LEFT JOIN fiel.versions AS v ON v.id = d.version
 WHERE d.collection = %(collection)s AND d.key = %(key)s
   FOR UPDATE OF d

-- name: add_document
INSERT INTO fiel.documents (tenant, collection, source, key, uri, allowed, sha256, recipe)
VALUES (fiel.caller_tenant(), %(collection)s, %(source)s, %(key)s, %(uri)s, %(acl)s::int[], %(sha256)s, '')
ON CONFLICT (collection, key) DO NOTHING
RETURNING id

-- name: add_version
INSERT INTO fiel.versions
    (id, tenant, document, number, sha256, text, text_sha256, media_type, language, parser, size, pages)
SELECT %(version)s, fiel.caller_tenant(), %(document)s,
       (SELECT coalesce(max(number), 0) + 1 FROM fiel.versions WHERE document = %(document)s),
       %(sha256)s, %(text)s, %(text_sha256)s, %(media_type)s, %(language)s, %(parser)s, %(size)s, %(pages)s::int[]

-- name: add_chunks
INSERT INTO fiel.chunks (tenant, collection, document, version, ordinal, start_at, end_at, text, context, language,
                         sha256, model, embedding)
SELECT e.tenant, %(collection)s, %(document)s, %(version)s, new.ordinal, new.start_at, new.end_at, new.text,
       new.context, %(language)s, new.sha256, e.model, e.embedding
  FROM unnest(%(starts)s::int[], %(ends)s::int[], %(texts)s::text[], %(contexts)s::text[], %(hashes)s::bytea[])
       WITH ORDINALITY AS new (start_at, end_at, text, context, sha256, ordinal)
  JOIN fiel.embeddings AS e
    ON e.tenant = fiel.caller_tenant() AND e.model = %(model)s AND e.sha256 = new.sha256

-- name: set_document
UPDATE fiel.documents
   SET source = %(source)s, uri = %(uri)s, title = %(title)s, language = %(language)s, media_type = %(media_type)s,
       allowed = %(acl)s::int[], sha256 = %(sha256)s, recipe = %(recipe)s, version = %(version)s,
       licence = %(licence)s, trust = %(trust)s,
       updated_at = now(), deleted_at = NULL
 WHERE id = %(document)s

-- name: require_policy
-- The least bundle of a collection; row security lets curators alone write it.
UPDATE fiel.collections SET policy = %(policy)s WHERE tenant = fiel.caller_tenant() AND name = %(name)s RETURNING id
