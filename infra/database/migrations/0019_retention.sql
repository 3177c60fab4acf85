-- Data keys by day and collection, so that contents go by age and by collection: each lies under the key of the day and
-- the collection that its run was about. A person's first key, without a day, makes the digests of all their runs.

ALTER TABLE fiel.subject_keys ADD COLUMN collection text NOT NULL DEFAULT '', ADD COLUMN day date;
COMMENT ON COLUMN fiel.subject_keys.day IS 'UTC. NULL: the key of the person''s digests, which goes with the person alone.';
DROP INDEX fiel.subject_keys_live;
CREATE UNIQUE INDEX subject_keys_live ON fiel.subject_keys (tenant, subject, collection, day) NULLS NOT DISTINCT
 WHERE wrapped IS NOT NULL;
CREATE INDEX subject_keys_by_day ON fiel.subject_keys (tenant, day) WHERE wrapped IS NOT NULL;

-- Keys are destroyed in hundreds, and each takes its rows of lineage along.
CREATE INDEX lineage_of_key ON fiel.lineage (key);
