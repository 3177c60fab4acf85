-- name: forget_writes
-- Before the checkpoints themselves: what they name is found through them.
DELETE FROM checkpoint_writes w
 USING checkpoints c
 WHERE c.thread_id = %(thread)s AND c.metadata ->> 'run_id' = %(run)s
   AND w.thread_id = c.thread_id AND w.checkpoint_ns = c.checkpoint_ns AND w.checkpoint_id = c.checkpoint_id

-- name: forget_checkpoints
DELETE FROM checkpoints WHERE thread_id = %(thread)s AND metadata ->> 'run_id' = %(run)s

-- name: rewind_checkpoints
-- What a run kept behind its marks, with the writes on it. A namespace without a mark of its own goes by the graph's:
-- ids of checkpoints sort by time.
WITH behind AS (
    SELECT c.checkpoint_ns, c.checkpoint_id
      FROM checkpoints c
      LEFT JOIN unnest(%(spaces)s::text[], %(marks)s::text[]) AS s (space, mark) ON s.space = c.checkpoint_ns
     WHERE c.thread_id = %(thread)s AND c.metadata ->> 'run_id' = %(run)s
       AND (%(deep)s OR c.checkpoint_ns = '') AND c.checkpoint_id > coalesce(s.mark, %(mark)s)
), writes AS (
    DELETE FROM checkpoint_writes w
     USING behind b
     WHERE w.thread_id = %(thread)s AND w.checkpoint_ns = b.checkpoint_ns AND w.checkpoint_id = b.checkpoint_id
)
DELETE FROM checkpoints c
 USING behind b
 WHERE c.thread_id = %(thread)s AND c.checkpoint_ns = b.checkpoint_ns AND c.checkpoint_id = b.checkpoint_id

-- name: rewind_writes
-- What tasks of the run wrote on the checkpoint that is now the latest, where their ends are not marked: they run again.
-- Answers to interrupts stay, and so does what tasks of earlier runs wrote there.
WITH latest AS (
    SELECT DISTINCT ON (checkpoint_ns) checkpoint_ns, checkpoint_id, metadata ->> 'run_id' = %(run)s AS own
      FROM checkpoints
     WHERE thread_id = %(thread)s AND (%(deep)s OR checkpoint_ns = '')
     ORDER BY checkpoint_ns, checkpoint_id DESC
)
DELETE FROM checkpoint_writes w
 USING latest l
 WHERE w.thread_id = %(thread)s AND w.checkpoint_ns = l.checkpoint_ns AND w.checkpoint_id = l.checkpoint_id
   AND w.channel NOT IN ('__resume__', %(writer)s) AND w.task_id <> %(nobody)s AND NOT w.task_id = ANY (%(tasks)s)
   AND (l.own OR EXISTS (
       SELECT FROM checkpoint_writes m
        WHERE m.thread_id = w.thread_id AND m.checkpoint_ns = w.checkpoint_ns AND m.checkpoint_id = w.checkpoint_id
          AND m.task_id = concat(w.task_id, '/', %(run)s::text) AND m.channel = %(writer)s
   ))

-- name: rewind_answer
-- LangGraph keeps an answer to whatever interrupt comes next. Of a run that is taken up, that may be another one by now.
DELETE FROM checkpoint_writes w
 WHERE w.thread_id = %(thread)s AND w.task_id = %(nobody)s AND w.channel = '__resume__'
   AND EXISTS (
       SELECT FROM checkpoint_writes m
        WHERE m.thread_id = w.thread_id AND m.checkpoint_ns = w.checkpoint_ns AND m.checkpoint_id = w.checkpoint_id
          AND m.task_id = concat(w.task_id, '/', %(run)s::text) AND m.channel = %(writer)s
   )
