-- name: take
-- What is due, taken for a while: another process that asks meanwhile gets other rows, and gets these again when this
-- one has died over them.
UPDATE fiel.deadlines AS d
   SET at = clock_timestamp() + %(lease)s * interval '1 second'
  FROM (
      SELECT kind, tenant, owner, id
        FROM fiel.deadlines
       WHERE kind = %(kind)s AND at <= clock_timestamp()
       ORDER BY at
       LIMIT %(limit)s
         FOR UPDATE SKIP LOCKED
  ) AS due
 WHERE d.kind = due.kind AND d.tenant = due.tenant AND d.owner = due.owner AND d.id = due.id
RETURNING d.tenant, d.owner, d.id

-- name: forget
-- Of a thing that is not there (any more): triggers keep all others.
DELETE FROM fiel.deadlines
 WHERE kind = %(kind)s AND tenant = %(tenant)s AND owner = %(owner)s AND id = %(id)s
