-- Chunks that are already cut and embedded, many at once.

-- name: grant_ids
SELECT fiel.grant_ids(%(names)s)

-- name: collection
INSERT INTO fiel.collections (tenant, name, policy) VALUES ((SELECT fiel.caller_tenant()), %(name)s, %(policy)s)
ON CONFLICT (tenant, name) DO UPDATE SET name = excluded.name
RETURNING id

-- name: document
INSERT INTO fiel.documents (id, tenant, collection, key, uri, title, language, allowed, sha256, recipe,
    licence, trust)
VALUES (%(document)s::uuid, (SELECT fiel.caller_tenant()), %(collection)s, %(document)s::text, %(uri)s, %(title)s, %(language)s,
    %(acl)s::int[], sha256(convert_to(%(text)s::text, 'UTF8')), 'bulk',
    %(licence)s, %(trust)s)
ON CONFLICT (id) DO NOTHING

-- name: version
INSERT INTO fiel.versions (id, tenant, document, number, sha256, text, text_sha256, language)
SELECT %(version)s::uuid, (SELECT fiel.caller_tenant()), %(document)s::uuid,
    coalesce(max(number), 0) + 1, sha256(convert_to(%(text)s::text, 'UTF8')), %(text)s::text, sha256(convert_to(%(text)s::text, 'UTF8')),
    %(language)s
FROM fiel.versions WHERE document = %(document)s::uuid

-- name: current
UPDATE fiel.documents SET version = %(version)s WHERE id = %(document)s::uuid

-- name: chunks
INSERT INTO fiel.chunks (id, tenant, collection, document, version, ordinal, start_at, end_at, text, context, language,
    sha256, model, embedding)
SELECT c.id, (SELECT fiel.caller_tenant()), %(collection)s, %(document)s::uuid, %(version)s::uuid, c.ordinal, c.start_at, c.end_at,
    c.text, c.context, c.language, sha256(convert_to(c.text, 'UTF8')), c.model, c.embedding::vector
FROM unnest(%(ids)s::uuid[], %(ordinals)s::int[], %(starts)s::int[], %(ends)s::int[], %(texts)s::text[],
    %(contexts)s::text[], %(languages)s::text[], %(models)s::text[], %(vectors)s::text[])
    AS c (id, ordinal, start_at, end_at, text, context, language, model, embedding)
ORDER BY c.ordinal

-- name: allow
UPDATE fiel.documents SET allowed = %(acl)s::int[] WHERE id = %(document)s::uuid

-- name: drop_chunks
DELETE FROM fiel.chunks WHERE document = %(document)s::uuid

-- name: tombstone
UPDATE fiel.documents SET deleted_at = now(), allowed = %(acl)s::int[] WHERE id = %(document)s::uuid
