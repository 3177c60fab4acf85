-- What the graph API keeps: assistants, threads, runs with their events, crons, store items.
--
-- Everything belongs to a tenant and an owner, and keys begin with them: two users may use the same id, and nobody
-- learns that another's exists. Row security is the second wall behind the predicates of the queries. Two tables stand
-- outside it, `run_claims` and `deadlines`: they hold ids, times and names of processes, and are what a sweep without a
-- caller reads in order to act for the owner afterwards.
--
-- Columns of type bytea are sealed: eight bytes name the key, then comes what `Cipher.seal` made, bound to the row. In
-- clear stand ids, times, codes, and what a client gives to be searched by: names, metadata, config, context.
-- `fiel.runs` is the ledger's table of what was recorded; `fiel.thread_runs` is the protocol's run.

-- Assistants -----------------------------------------------------------------------------------------------------

CREATE TABLE fiel.assistants (
    tenant text NOT NULL,
    owner text NOT NULL,
    assistant_id uuid NOT NULL,
    graph_id text NOT NULL,
    name text NOT NULL,
    description text,
    config jsonb NOT NULL DEFAULT '{}',
    context jsonb NOT NULL DEFAULT '{}',
    metadata jsonb NOT NULL DEFAULT '{}',
    version int NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, owner, assistant_id)
);
COMMENT ON TABLE fiel.assistants IS 'Those that users made, each as its current version is. System assistants are no rows.';

CREATE TABLE fiel.assistant_versions (
    tenant text NOT NULL,
    owner text NOT NULL,
    assistant_id uuid NOT NULL,
    version int NOT NULL CHECK (version > 0),
    graph_id text NOT NULL,
    name text NOT NULL,
    description text,
    config jsonb NOT NULL,
    context jsonb NOT NULL,
    metadata jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, owner, assistant_id, version),
    FOREIGN KEY (tenant, owner, assistant_id) REFERENCES fiel.assistants ON DELETE CASCADE
);

-- Threads --------------------------------------------------------------------------------------------------------

CREATE TABLE fiel.threads (
    tenant text NOT NULL,
    owner text NOT NULL,
    thread_id uuid NOT NULL,
    status text NOT NULL DEFAULT 'idle' CHECK (status IN ('idle', 'busy', 'interrupted', 'error')),
    temporary boolean NOT NULL DEFAULT false,
    metadata jsonb NOT NULL DEFAULT '{}',
    config jsonb NOT NULL DEFAULT '{}',
    values bytea,
    interrupts bytea,
    error text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    state_updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ttl_strategy text CHECK (ttl_strategy IN ('delete', 'keep_latest')),
    ttl_minutes double precision CHECK (ttl_minutes > 0),
    expires_at timestamptz,
    PRIMARY KEY (tenant, owner, thread_id)
);
COMMENT ON COLUMN fiel.threads.temporary IS 'Of a run without a thread: goes with the run, and no list shows it.';
COMMENT ON COLUMN fiel.threads.error IS 'Code of the last run''s error; never its text.';
COMMENT ON COLUMN fiel.threads.expires_at IS 'Set anew whenever the thread is used; the sweep then does what ttl_strategy says.';
ALTER TABLE fiel.threads ALTER COLUMN values SET STORAGE EXTERNAL;
ALTER TABLE fiel.threads ALTER COLUMN interrupts SET STORAGE EXTERNAL;
CREATE INDEX threads_updated ON fiel.threads (tenant, owner, updated_at DESC);

-- Runs -----------------------------------------------------------------------------------------------------------

CREATE TABLE fiel.thread_runs (
    run_id uuid PRIMARY KEY,
    tenant text NOT NULL,
    owner text NOT NULL,
    thread_id uuid NOT NULL,
    assistant_id uuid NOT NULL,
    graph_id text NOT NULL,
    status text NOT NULL DEFAULT 'pending'
        CHECK (status IN ('pending', 'running', 'success', 'error', 'timeout', 'interrupted')),
    kwargs bytea NOT NULL,
    metadata jsonb NOT NULL DEFAULT '{}',
    multitask_strategy text NOT NULL DEFAULT 'reject'
        CHECK (multitask_strategy IN ('reject', 'interrupt', 'rollback', 'enqueue')),
    temporary boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    not_before timestamptz NOT NULL DEFAULT clock_timestamp(),
    attempt int NOT NULL DEFAULT 0,
    error text,
    FOREIGN KEY (tenant, owner, thread_id) REFERENCES fiel.threads ON DELETE CASCADE
);
COMMENT ON COLUMN fiel.thread_runs.run_id IS 'A UUID of version 7, made by the server: ids sort by time.';
COMMENT ON COLUMN fiel.thread_runs.kwargs IS 'Sealed: all of the request, and a snapshot of who asked.';
COMMENT ON COLUMN fiel.thread_runs.error IS 'A code; never text of users, drafts or exceptions.';
ALTER TABLE fiel.thread_runs ALTER COLUMN kwargs SET STORAGE EXTERNAL;
CREATE UNIQUE INDEX thread_runs_one_active ON fiel.thread_runs (tenant, owner, thread_id) WHERE status = 'running';
CREATE INDEX thread_runs_of_thread ON fiel.thread_runs (tenant, owner, thread_id, run_id DESC);
CREATE INDEX thread_runs_pending ON fiel.thread_runs (tenant, owner, thread_id, not_before) WHERE status = 'pending';

CREATE TABLE fiel.run_events (
    run_id uuid NOT NULL REFERENCES fiel.thread_runs ON DELETE CASCADE,
    seq bigint NOT NULL CHECK (seq > 0),
    tenant text NOT NULL,
    owner text NOT NULL,
    event text NOT NULL,
    data bytea NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (run_id, seq)
);
COMMENT ON COLUMN fiel.run_events.seq IS 'From 1, without gaps; the id of the server-sent event.';
ALTER TABLE fiel.run_events ALTER COLUMN data SET STORAGE EXTERNAL;

CREATE TABLE fiel.run_claims (
    run_id uuid PRIMARY KEY REFERENCES fiel.thread_runs ON DELETE CASCADE,
    tenant text NOT NULL,
    owner text NOT NULL,
    thread_id uuid NOT NULL,
    worker bigint NOT NULL,
    cancel text CHECK (cancel IN ('interrupt', 'rollback')),
    claimed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE fiel.run_claims IS 'Which process works on which run. Ids only, outside row security: what the sweep reads.';
COMMENT ON COLUMN fiel.run_claims.worker IS 'Id in procrastinate_workers, whose heartbeat says whether the process lives.';
COMMENT ON COLUMN fiel.run_claims.cancel IS 'Asks the process to stop, and how.';
CREATE INDEX run_claims_worker ON fiel.run_claims (worker);

-- Crons ----------------------------------------------------------------------------------------------------------

CREATE TABLE fiel.crons (
    tenant text NOT NULL,
    owner text NOT NULL,
    cron_id uuid NOT NULL,
    assistant_id uuid NOT NULL,
    thread_id uuid,
    schedule text NOT NULL,
    timezone text,
    end_time timestamptz,
    enabled boolean NOT NULL DEFAULT true,
    on_run_completed text CHECK (on_run_completed IN ('delete', 'keep')),
    payload bytea NOT NULL,
    metadata jsonb NOT NULL DEFAULT '{}',
    next_run_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, owner, cron_id),
    FOREIGN KEY (tenant, owner, thread_id) REFERENCES fiel.threads ON DELETE CASCADE
);
COMMENT ON COLUMN fiel.crons.payload IS 'Sealed: the run to create, and a snapshot of who asked.';
COMMENT ON COLUMN fiel.crons.next_run_at IS 'NULL: never again (disabled, or past its end).';
CREATE INDEX crons_of_thread ON fiel.crons (tenant, owner, thread_id) WHERE thread_id IS NOT NULL;

-- The store ------------------------------------------------------------------------------------------------------

CREATE TABLE fiel.items (
    tenant text NOT NULL,
    owner text NOT NULL,
    prefix text[] COLLATE "C" NOT NULL CHECK (cardinality(prefix) > 0),
    key text COLLATE "C" NOT NULL,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    value bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ttl_minutes double precision CHECK (ttl_minutes > 0),
    expires_at timestamptz,
    PRIMARY KEY (tenant, owner, prefix, key)
);
COMMENT ON COLUMN fiel.items.id IS 'What `deadlines` knows the item by: the key is text of a user.';
ALTER TABLE fiel.items ALTER COLUMN value SET STORAGE EXTERNAL;

-- What is due when -----------------------------------------------------------------------------------------------

CREATE TABLE fiel.deadlines (
    kind text NOT NULL CHECK (kind IN ('thread', 'cron', 'item')),
    tenant text NOT NULL,
    owner text NOT NULL,
    id uuid NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (kind, tenant, owner, id)
);
COMMENT ON TABLE fiel.deadlines IS 'When a thread or an item expires and a cron fires. Ids only, outside row security. Kept by triggers; whoever acts on a row that is no longer due removes it.';
CREATE INDEX deadlines_at ON fiel.deadlines (kind, at);

CREATE FUNCTION fiel.deadline(kind text, tenant text, owner text, id uuid, at timestamptz) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF deadline.at IS NULL THEN
        DELETE FROM fiel.deadlines d
         WHERE (d.kind, d.tenant, d.owner, d.id) = (deadline.kind, deadline.tenant, deadline.owner, deadline.id);
    ELSE
        INSERT INTO fiel.deadlines AS d (kind, tenant, owner, id, at)
        VALUES (deadline.kind, deadline.tenant, deadline.owner, deadline.id, deadline.at)
            ON CONFLICT ON CONSTRAINT deadlines_pkey DO UPDATE SET at = excluded.at WHERE d.at <> excluded.at;
    END IF;
END
$$;

CREATE FUNCTION fiel.thread_deadline() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM fiel.deadline('thread', NEW.tenant, NEW.owner, NEW.thread_id, NEW.expires_at);
    RETURN NULL;
END
$$;
CREATE FUNCTION fiel.cron_deadline() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM fiel.deadline('cron', NEW.tenant, NEW.owner, NEW.cron_id, NEW.next_run_at);
    RETURN NULL;
END
$$;
CREATE FUNCTION fiel.item_deadline() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM fiel.deadline('item', NEW.tenant, NEW.owner, NEW.id, NEW.expires_at);
    RETURN NULL;
END
$$;
CREATE FUNCTION fiel.no_deadline() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM fiel.deadlines d
     WHERE d.kind = TG_ARGV[0] AND d.tenant = OLD.tenant AND d.owner = OLD.owner
       AND d.id = (to_jsonb(OLD) ->> TG_ARGV[1])::uuid;
    RETURN NULL;
END
$$;

-- Two triggers a table, each with a condition: a row without a deadline, the ordinary one, pays for none.
CREATE TRIGGER deadline_set AFTER INSERT ON fiel.threads
    FOR EACH ROW WHEN (NEW.expires_at IS NOT NULL) EXECUTE FUNCTION fiel.thread_deadline();
CREATE TRIGGER deadline_moved AFTER UPDATE ON fiel.threads
    FOR EACH ROW WHEN (OLD.expires_at IS DISTINCT FROM NEW.expires_at) EXECUTE FUNCTION fiel.thread_deadline();
CREATE TRIGGER deadline_gone AFTER DELETE ON fiel.threads
    FOR EACH ROW WHEN (OLD.expires_at IS NOT NULL) EXECUTE FUNCTION fiel.no_deadline('thread', 'thread_id');
CREATE TRIGGER deadline_set AFTER INSERT ON fiel.crons
    FOR EACH ROW WHEN (NEW.next_run_at IS NOT NULL) EXECUTE FUNCTION fiel.cron_deadline();
CREATE TRIGGER deadline_moved AFTER UPDATE ON fiel.crons
    FOR EACH ROW WHEN (OLD.next_run_at IS DISTINCT FROM NEW.next_run_at) EXECUTE FUNCTION fiel.cron_deadline();
CREATE TRIGGER deadline_gone AFTER DELETE ON fiel.crons
    FOR EACH ROW WHEN (OLD.next_run_at IS NOT NULL) EXECUTE FUNCTION fiel.no_deadline('cron', 'cron_id');
CREATE TRIGGER deadline_set AFTER INSERT ON fiel.items
    FOR EACH ROW WHEN (NEW.expires_at IS NOT NULL) EXECUTE FUNCTION fiel.item_deadline();
CREATE TRIGGER deadline_moved AFTER UPDATE ON fiel.items
    FOR EACH ROW WHEN (OLD.expires_at IS DISTINCT FROM NEW.expires_at) EXECUTE FUNCTION fiel.item_deadline();
CREATE TRIGGER deadline_gone AFTER DELETE ON fiel.items
    FOR EACH ROW WHEN (OLD.expires_at IS NOT NULL) EXECUTE FUNCTION fiel.no_deadline('item', 'id');

-- The wall -------------------------------------------------------------------------------------------------------

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['assistants', 'assistant_versions', 'threads', 'thread_runs', 'run_events', 'crons', 'items']
    LOOP
        EXECUTE format('ALTER TABLE fiel.%I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE fiel.%I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format(
            'CREATE POLICY own ON fiel.%I '
            'USING (tenant = fiel.caller_tenant() AND owner = fiel.caller()) '
            'WITH CHECK (tenant = fiel.caller_tenant() AND owner = fiel.caller())', name);
    END LOOP;
END
$$;

-- The process that works on runs of many owners writes their events in one statement: only those of a claimed run, and
-- only as its owner's. Nobody reads them that way.
CREATE POLICY worked_on ON fiel.run_events FOR INSERT WITH CHECK (EXISTS (
    SELECT FROM fiel.run_claims c
     WHERE c.run_id = run_events.run_id AND c.tenant = run_events.tenant AND c.owner = run_events.owner));
