-- name: keep
INSERT INTO fiel.kept (kind, name, version, body)
SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::bytea[])
    ON CONFLICT DO NOTHING

-- name: of_name
SELECT version, body FROM fiel.kept WHERE kind = %s AND name = %s ORDER BY at DESC

-- name: use
-- What is in use from now on, and where that is another version than before, or came or went. Of two processes that start
-- with the same, one finds a difference. Where nothing of a kind was in use yet, nothing has changed.
WITH now AS (
    SELECT * FROM unnest(%(kinds)s::text[], %(names)s::text[], %(versions)s::text[]) AS t (kind, name, version)
), before AS (
    SELECT kind, name, version FROM fiel.in_use WHERE kind IN (SELECT kind FROM now)
), gone AS (
    DELETE FROM fiel.in_use AS u
     WHERE kind IN (SELECT kind FROM now)
       AND NOT EXISTS (SELECT FROM now WHERE (now.kind, now.name) = (u.kind, u.name))
    RETURNING u.kind, u.name
), put AS (
    INSERT INTO fiel.in_use AS u (kind, name, version) SELECT kind, name, version FROM now ORDER BY kind, name
        ON CONFLICT (kind, name) DO UPDATE SET version = excluded.version WHERE u.version <> excluded.version
    RETURNING u.kind, u.name
)
SELECT kind, name, before.version, now.version
  FROM (SELECT * FROM gone UNION ALL SELECT * FROM put) AS changed
  LEFT JOIN before USING (kind, name) LEFT JOIN now USING (kind, name)
 WHERE kind IN (SELECT kind FROM before)
 ORDER BY kind, name
