-- What the policy bundle says about a review: who decides and whether who asked may. Null: as the settings say.

ALTER TABLE fiel.reviews ADD COLUMN roles text[];
ALTER TABLE fiel.reviews ADD COLUMN own boolean;
COMMENT ON COLUMN fiel.reviews.roles IS 'Roles that may decide, as the bundle has it that the run began with.';
COMMENT ON COLUMN fiel.reviews.own IS 'Whether who asked may decide.';
