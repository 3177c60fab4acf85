-- Items of the store that can be searched by meaning: the vectors of their texts, sealed like their values, because a
-- vector tells much of its text. They are compared in the process, over one owner's items.

ALTER TABLE fiel.items ADD COLUMN vectors bytea;
ALTER TABLE fiel.items ALTER COLUMN vectors SET STORAGE EXTERNAL;
COMMENT ON COLUMN fiel.items.vectors IS 'Sealed; null where the item is not indexed.';
