-- name: runs
-- Runs of a tenant that began in a stretch of time, oldest first. One that another resumes is replayed with that other.
SELECT r.run::text
  FROM fiel.runs r
 WHERE r.tenant = %(tenant)s AND r.started >= %(since)s AND r.started < %(until)s
   AND NOT EXISTS (SELECT FROM fiel.runs later WHERE later.resumes = r.run)
 ORDER BY r.started, r.run
