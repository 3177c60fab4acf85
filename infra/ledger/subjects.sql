-- name: live
SELECT id, master, wrapped FROM fiel.subject_keys
 WHERE (tenant, subject, collection) = (%s, %s, %s) AND day IS NOT DISTINCT FROM %s AND wrapped IS NOT NULL

-- name: make
INSERT INTO fiel.subject_keys (id, tenant, subject, master, wrapped, collection, day)
VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING

-- name: named
SELECT master, wrapped, tenant, subject, day FROM fiel.subject_keys WHERE id = %s

-- name: erase
UPDATE fiel.subject_keys SET wrapped = NULL, erased = clock_timestamp()
 WHERE tenant = %s AND subject = %s AND wrapped IS NOT NULL
RETURNING id

-- name: destroy
UPDATE fiel.subject_keys k
   SET wrapped = NULL, erased = timestamptz 'epoch' + a.at * interval '1 microsecond'
  FROM fiel.acts a
 WHERE a.act = %(act)s AND a.tenant = %(tenant)s
   AND k.id = ANY (%(keys)s) AND k.tenant = %(tenant)s AND k.wrapped IS NOT NULL
