-- name: record
WITH act AS (
    INSERT INTO fiel.acts (act, tenant, principal, kind, subject, at, hash, body)
    VALUES (%(act)s, %(tenant)s, %(principal)s, %(kind)s, %(subject)s, %(at)s, %(hash)s, %(body)s)
)
INSERT INTO fiel.unsealed (tenant, leaf) VALUES (%(tenant)s, %(leaf)s)

-- name: latest
SELECT act, hash, body FROM fiel.acts WHERE tenant = %s ORDER BY at DESC, act LIMIT %s
