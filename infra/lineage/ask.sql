-- All of this runs for a caller. Row security shows what they may read at this moment, and each query says it itself, so
-- that neither wall stands alone.

-- name: by_id
SELECT d.id::text, d.uri, d.title, c.name, d.deleted_at IS NOT NULL, d.version::text
  FROM fiel.documents d
  JOIN fiel.audiences a ON a.id = d.audience AND a.acl && (SELECT fiel.caller_grants())
  JOIN fiel.collections c ON c.id = d.collection
 WHERE d.tenant = (SELECT fiel.caller_tenant()) AND d.id = %(document)s

-- name: by_uri
SELECT d.id::text, d.uri, d.title, c.name, d.deleted_at IS NOT NULL, d.version::text
  FROM fiel.documents d
  JOIN fiel.audiences a ON a.id = d.audience AND a.acl && (SELECT fiel.caller_grants())
  JOIN fiel.collections c ON c.id = d.collection
 WHERE d.tenant = (SELECT fiel.caller_tenant()) AND d.uri = %(uri)s
 ORDER BY c.name, d.id
 LIMIT 100

-- name: versions
SELECT v.id::text, v.document::text, v.number, encode(v.sha256, 'hex'), v.created_at
  FROM fiel.versions v
  JOIN fiel.documents d ON d.id = v.document AND d.tenant = (SELECT fiel.caller_tenant())
  JOIN fiel.audiences a ON a.id = d.audience AND a.acl && (SELECT fiel.caller_grants())
 WHERE v.document = ANY (%(documents)s::uuid[])
 ORDER BY v.document, v.number

-- name: known
SELECT EXISTS (SELECT FROM fiel.lineage WHERE tenant = (SELECT fiel.caller_tenant()) AND document = %(document)s)

-- name: answers
-- Runs that used the documents, newest first.
SELECT run::text, document::text, version::text, caller, started, outcome, chunks::text[], sentences
  FROM fiel.lineage
 WHERE tenant = (SELECT fiel.caller_tenant()) AND document = ANY (%(documents)s::uuid[])
   AND (%(version)s::uuid IS NULL OR version = %(version)s::uuid)
   AND (%(everybody)s OR caller = (SELECT fiel.caller()))
   AND (%(used)s = 'any' OR sentences <> '{}' OR %(used)s = 'read' AND outcome = 'answered')
 ORDER BY started DESC, run, version
 LIMIT %(limit)s OFFSET %(offset)s

-- name: sources
-- What the caller may know of the documents that a run used.
SELECT d.id::text, d.uri, d.title, c.name, s.uri, d.deleted_at IS NOT NULL, d.version::text
  FROM fiel.documents d
  JOIN fiel.audiences a ON a.id = d.audience AND a.acl && (SELECT fiel.caller_grants())
  JOIN fiel.collections c ON c.id = d.collection
  LEFT JOIN fiel.sources s ON s.id = d.source
 WHERE d.tenant = (SELECT fiel.caller_tenant()) AND d.id = ANY (%(documents)s::uuid[])

-- name: places
-- Of each place in a version: its number, and the stored text there.
SELECT v.id::text, p.start_at, p.end_at, v.number, encode(v.sha256, 'hex'), v.parser,
       substr(v.text, p.start_at + 1, p.end_at - p.start_at)
  FROM unnest(%(versions)s::uuid[], %(starts)s::int[], %(ends)s::int[]) AS p (version, start_at, end_at)
  JOIN fiel.versions v ON v.id = p.version
  JOIN fiel.documents d ON d.id = v.document AND d.tenant = (SELECT fiel.caller_tenant())
  JOIN fiel.audiences a ON a.id = d.audience AND a.acl && (SELECT fiel.caller_grants())

-- name: chunks
SELECT c.id::text
  FROM fiel.chunks c
  JOIN fiel.documents d ON d.id = c.document AND d.tenant = (SELECT fiel.caller_tenant())
  JOIN fiel.audiences a ON a.id = d.audience AND a.acl && (SELECT fiel.caller_grants())
 WHERE c.id = ANY (%(chunks)s::uuid[])
