-- name: register
INSERT INTO fiel_queue.procrastinate_workers DEFAULT VALUES RETURNING id

-- name: beat
UPDATE fiel_queue.procrastinate_workers SET last_heartbeat = now() WHERE id = %s RETURNING id

-- name: unregister
DELETE FROM fiel_queue.procrastinate_workers WHERE id = %s
