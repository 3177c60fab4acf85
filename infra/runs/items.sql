-- name: put
-- An item that has expired is a new one under the same name.
INSERT INTO fiel.items AS i (tenant, owner, prefix, key, value, vectors, ttl_minutes, expires_at)
VALUES (
    %(tenant)s, %(owner)s, %(prefix)s, %(key)s, %(value)s, %(vectors)s, %(ttl_minutes)s,
    clock_timestamp() + %(ttl_minutes)s * interval '1 minute'
)
ON CONFLICT (tenant, owner, prefix, key) DO UPDATE
   SET value = excluded.value,
       vectors = excluded.vectors,
       ttl_minutes = excluded.ttl_minutes,
       expires_at = excluded.expires_at,
       updated_at = excluded.updated_at,
       created_at = CASE WHEN i.expires_at <= clock_timestamp() THEN excluded.created_at ELSE i.created_at END

-- name: get
WITH refreshed AS (
    UPDATE fiel.items
       SET expires_at = clock_timestamp() + ttl_minutes * interval '1 minute'
     WHERE %(refresh)s AND ttl_minutes IS NOT NULL AND expires_at > clock_timestamp()
       AND tenant = %(tenant)s AND owner = %(owner)s AND prefix = %(prefix)s AND key = %(key)s
)
SELECT prefix, key, value, created_at, updated_at
  FROM fiel.items
 WHERE tenant = %(tenant)s AND owner = %(owner)s AND prefix = %(prefix)s AND key = %(key)s
   AND (expires_at IS NULL OR expires_at > clock_timestamp())

-- name: delete
DELETE FROM fiel.items
 WHERE tenant = %(tenant)s AND owner = %(owner)s AND prefix = %(prefix)s AND key = %(key)s

-- name: search
-- Namespaces compare label by label, so all that begin with a prefix follow it.
SELECT prefix, key, value, created_at, updated_at, CASE WHEN %(vectors)s THEN vectors END AS vectors
  FROM fiel.items
 WHERE tenant = %(tenant)s AND owner = %(owner)s
   AND prefix >= %(prefix)s AND prefix[1:cardinality(%(prefix)s)] = %(prefix)s
   AND (expires_at IS NULL OR expires_at > clock_timestamp())
 ORDER BY updated_at DESC, prefix, key
 LIMIT %(limit)s OFFSET %(offset)s

-- name: refresh
UPDATE fiel.items AS i
   SET expires_at = clock_timestamp() + i.ttl_minutes * interval '1 minute'
  FROM jsonb_to_recordset(%(found)s) AS f (prefix text[], key text)
 WHERE i.tenant = %(tenant)s AND i.owner = %(owner)s AND i.prefix = f.prefix AND i.key = f.key
   AND i.ttl_minutes IS NOT NULL AND i.expires_at > clock_timestamp()

-- name: namespaces
-- In `starts` and `ends` the label * stands for any.
SELECT DISTINCT prefix[1:coalesce(%(depth)s::int, cardinality(prefix))] AS prefix
  FROM fiel.items
 WHERE tenant = %(tenant)s AND owner = %(owner)s
   AND (expires_at IS NULL OR expires_at > clock_timestamp())
   AND cardinality(prefix) >= greatest(cardinality(%(starts)s::text[]), cardinality(%(ends)s::text[]))
   AND NOT EXISTS (
       SELECT FROM unnest(%(starts)s::text[]) WITH ORDINALITY AS w (label, at)
        WHERE w.label <> '*' AND w.label <> prefix[w.at]
   )
   AND NOT EXISTS (
       SELECT FROM unnest(%(ends)s::text[]) WITH ORDINALITY AS w (label, at)
        WHERE w.label <> '*' AND w.label <> prefix[cardinality(prefix) - cardinality(%(ends)s::text[]) + w.at]
   )
 ORDER BY prefix
 LIMIT %(limit)s OFFSET %(offset)s

-- name: sweep
DELETE FROM fiel.items
 WHERE tenant = %(tenant)s AND owner = %(owner)s AND expires_at <= clock_timestamp()
