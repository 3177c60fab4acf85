-- Where documents come from: the licence of their source, and how far it is trusted. Both are said at an ingest, for all
-- documents of the source, and go with each passage to the checks that judge it.

ALTER TABLE fiel.documents
    ADD COLUMN licence text NOT NULL DEFAULT '',
    ADD COLUMN trust text NOT NULL DEFAULT 'internal' CHECK (trust IN ('trusted', 'internal', 'external'));
COMMENT ON COLUMN fiel.documents.licence IS 'SPDX identifier or expression; empty: not known.';
COMMENT ON COLUMN fiel.documents.trust IS 'How far the source is trusted.';
