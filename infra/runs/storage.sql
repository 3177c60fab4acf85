-- name: storage
-- Bytes of a thread in the checkpointer's tables, as stored.
SELECT 'checkpoints' AS part, '' AS channel, count(*) AS count,
       coalesce(sum(pg_column_size(checkpoint) + pg_column_size(metadata)), 0)::bigint AS bytes
  FROM fiel.checkpoints WHERE thread_id = %(thread)s
 UNION ALL
SELECT 'channel_values', channel, count(*), coalesce(sum(pg_column_size(blob)), 0)::bigint
  FROM fiel.checkpoint_blobs WHERE thread_id = %(thread)s GROUP BY channel
 UNION ALL
SELECT 'pending_writes', '', count(*), coalesce(sum(pg_column_size(blob)), 0)::bigint
  FROM fiel.checkpoint_writes WHERE thread_id = %(thread)s
