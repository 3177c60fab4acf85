-- What waits for a person: one row a question or draft that a policy wants reviewed, and what was decided.
--
-- A row belongs to who asked, like the thread on which it waits, but others must read it and decide: the wall is the
-- tenant, and the queries name the owner or the reviewer's right. What is to be seen, and what a person writes, is sealed.

CREATE TABLE fiel.reviews (
    tenant text NOT NULL,
    owner text NOT NULL,
    review_id uuid NOT NULL,
    thread_id uuid NOT NULL,
    run_id uuid NOT NULL,
    stage text NOT NULL CHECK (stage IN ('input', 'output')),
    subject text NOT NULL,
    reason text NOT NULL,
    policy text NOT NULL,
    collection text NOT NULL,
    language text NOT NULL,
    dossier bytea,
    status text NOT NULL DEFAULT 'pending'
        CHECK (status IN ('pending', 'approved', 'edited', 'rejected', 'expired', 'withdrawn')),
    opened_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL,
    decided_by text,
    decided_at timestamptz,
    why text,
    ruling bytea,
    PRIMARY KEY (tenant, review_id),
    FOREIGN KEY (tenant, owner, thread_id) REFERENCES fiel.threads ON DELETE CASCADE
);
COMMENT ON COLUMN fiel.reviews.run_id IS 'The protocol''s run that waits; what it was asked for is in its row.';
COMMENT ON COLUMN fiel.reviews.subject IS 'Digest of exactly what may go on.';
COMMENT ON COLUMN fiel.reviews.dossier IS 'Sealed: question, draft, what was found. Null once it is decided: the ledger has it.';
COMMENT ON COLUMN fiel.reviews.why IS 'A code that the reviewer gives.';
COMMENT ON COLUMN fiel.reviews.ruling IS 'Sealed: the reviewer''s comment, and their text of the answer.';
ALTER TABLE fiel.reviews ALTER COLUMN dossier SET STORAGE EXTERNAL;
ALTER TABLE fiel.reviews ALTER COLUMN ruling SET STORAGE EXTERNAL;
CREATE INDEX reviews_opened ON fiel.reviews (tenant, status, opened_at DESC);
CREATE INDEX reviews_of_thread ON fiel.reviews (tenant, owner, thread_id);

ALTER TABLE fiel.reviews ENABLE ROW LEVEL SECURITY;
ALTER TABLE fiel.reviews FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON fiel.reviews
    USING (tenant = fiel.caller_tenant()) WITH CHECK (tenant = fiel.caller_tenant());

ALTER TABLE fiel.deadlines DROP CONSTRAINT deadlines_kind_check;
ALTER TABLE fiel.deadlines ADD CONSTRAINT deadlines_kind_check CHECK (kind IN ('thread', 'cron', 'item', 'review'));

CREATE FUNCTION fiel.review_deadline() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM fiel.deadline(
        'review', NEW.tenant, NEW.owner, NEW.review_id, CASE WHEN NEW.status = 'pending' THEN NEW.expires_at END);
    RETURN NULL;
END
$$;
CREATE TRIGGER deadline_set AFTER INSERT ON fiel.reviews FOR EACH ROW EXECUTE FUNCTION fiel.review_deadline();
CREATE TRIGGER deadline_moved AFTER UPDATE ON fiel.reviews
    FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION fiel.review_deadline();
CREATE TRIGGER deadline_gone AFTER DELETE ON fiel.reviews
    FOR EACH ROW EXECUTE FUNCTION fiel.no_deadline('review', 'review_id');
