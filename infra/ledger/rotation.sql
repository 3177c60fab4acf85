-- name: recorded
SELECT EXISTS (SELECT FROM fiel.acts WHERE tenant = %s AND kind = 'key_rotate' AND subject = %s)

-- name: others
-- Data keys that another master key wraps. Two that rotate at once share them.
SELECT id, master, wrapped FROM fiel.subject_keys
 WHERE wrapped IS NOT NULL AND master <> %s
 ORDER BY id
 LIMIT %s
   FOR UPDATE SKIP LOCKED

-- name: wrap
UPDATE fiel.subject_keys SET master = %s, wrapped = %s WHERE id = %s

-- name: left
SELECT count(*) FROM fiel.subject_keys WHERE wrapped IS NOT NULL AND master <> %s
