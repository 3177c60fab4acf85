-- What a run has said of what its graph has kept. A checkpoint that is kept and of which the events before it were never
-- written would leave a gap in the run's stream: whoever takes the run up goes back behind it.

ALTER TABLE fiel.run_claims ADD COLUMN said jsonb;
-- Not for runs that are worked on now: of these nobody knows.
ALTER TABLE fiel.run_claims ALTER COLUMN said SET DEFAULT '{}';
COMMENT ON COLUMN fiel.run_claims.said IS
    'By namespace of the checkpointer: the newest checkpoint, and tasks after it, before which all events are written.';
ALTER TABLE fiel.thread_runs ADD COLUMN said jsonb;
COMMENT ON COLUMN fiel.thread_runs.said IS 'The same, of the last process that worked on the run and did not end it.';
