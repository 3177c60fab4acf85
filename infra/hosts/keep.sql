-- name: forget_writes
-- Before the checkpoints themselves: what they name is found through them.
DELETE FROM checkpoint_writes w
 USING checkpoints c
 WHERE c.thread_id = %(thread)s AND c.metadata ->> 'run_id' = %(run)s
   AND w.thread_id = c.thread_id AND w.checkpoint_ns = c.checkpoint_ns AND w.checkpoint_id = c.checkpoint_id

-- name: forget_checkpoints
DELETE FROM checkpoints WHERE thread_id = %(thread)s AND metadata ->> 'run_id' = %(run)s
