-- name: runs
SELECT run::text, caller, thread, resumes::text, started FROM fiel.runs
 WHERE tenant = %(tenant)s AND started >= %(since)s AND (%(caller)s = '' OR caller = %(caller)s)
 ORDER BY started DESC, run
 LIMIT %(limit)s OFFSET %(offset)s

-- name: acts
SELECT act::text, principal, kind, subject, at, hash, body FROM fiel.acts
 WHERE tenant = %(tenant)s AND at >= %(since)s AND (%(kind)s = '' OR kind = %(kind)s)
   AND (%(subject)s = '' OR subject = %(subject)s)
 ORDER BY at DESC, act
 LIMIT %(limit)s OFFSET %(offset)s
