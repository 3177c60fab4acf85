-- name: since
-- When this database learned of assistants: the birthday of those that the system makes.
SELECT applied_at FROM fiel.migrations WHERE number = 4

-- name: create
-- No row: one with this id is there.
WITH made AS (
    INSERT INTO fiel.assistants (
        tenant, owner, assistant_id, graph_id, name, description, config, context, metadata
    )
    VALUES (
        %(tenant)s, %(owner)s, %(assistant_id)s, %(graph_id)s, %(name)s, %(description)s, %(config)s, %(context)s,
        %(metadata)s
    )
    ON CONFLICT DO NOTHING
    RETURNING *
), version AS (
    INSERT INTO fiel.assistant_versions (
        tenant, owner, assistant_id, version, graph_id, name, description, config, context, metadata, created_at
    )
    SELECT tenant, owner, assistant_id, version, graph_id, name, description, config, context, metadata, created_at
      FROM made
)
SELECT assistant_id, graph_id, name, description, config, context, metadata, version, created_at, updated_at FROM made

-- name: get
SELECT assistant_id, graph_id, name, description, config, context, metadata, version, created_at, updated_at
  FROM fiel.assistants
 WHERE tenant = %(tenant)s AND owner = %(owner)s AND assistant_id = %(assistant_id)s

-- name: lock
SELECT version
  FROM fiel.assistants
 WHERE tenant = %(tenant)s AND owner = %(owner)s AND assistant_id = %(assistant_id)s
   FOR UPDATE

-- name: update
-- After `lock`, so that the next version is this statement's to give.
WITH changed AS (
    UPDATE fiel.assistants AS a
       SET graph_id = coalesce(%(graph_id)s, a.graph_id),
           name = coalesce(%(name)s, a.name),
           description = coalesce(%(description)s, a.description),
           config = coalesce(%(config)s, a.config),
           context = coalesce(%(context)s, a.context),
           metadata = a.metadata || %(metadata)s,
           version = 1 + (
               SELECT max(v.version)
                 FROM fiel.assistant_versions v
                WHERE v.tenant = %(tenant)s AND v.owner = %(owner)s AND v.assistant_id = %(assistant_id)s
           ),
           updated_at = clock_timestamp()
     WHERE a.tenant = %(tenant)s AND a.owner = %(owner)s AND a.assistant_id = %(assistant_id)s
    RETURNING a.*
), version AS (
    INSERT INTO fiel.assistant_versions (
        tenant, owner, assistant_id, version, graph_id, name, description, config, context, metadata, created_at
    )
    SELECT tenant, owner, assistant_id, version, graph_id, name, description, config, context, metadata, updated_at
      FROM changed
)
SELECT assistant_id, graph_id, name, description, config, context, metadata, version, created_at, updated_at
  FROM changed

-- name: set_latest
UPDATE fiel.assistants AS a
   SET graph_id = v.graph_id,
       name = v.name,
       description = v.description,
       config = v.config,
       context = v.context,
       metadata = v.metadata,
       version = v.version,
       updated_at = clock_timestamp()
  FROM fiel.assistant_versions v
 WHERE a.tenant = %(tenant)s AND a.owner = %(owner)s AND a.assistant_id = %(assistant_id)s
   AND v.tenant = a.tenant AND v.owner = a.owner AND v.assistant_id = a.assistant_id AND v.version = %(version)s
RETURNING a.assistant_id, a.graph_id, a.name, a.description, a.config, a.context, a.metadata, a.version,
          a.created_at, a.updated_at

-- name: versions
SELECT assistant_id, graph_id, name, description, config, context, metadata, version, created_at,
       created_at AS updated_at
  FROM fiel.assistant_versions
 WHERE tenant = %(tenant)s AND owner = %(owner)s AND assistant_id = %(assistant_id)s AND metadata @> %(metadata)s
 ORDER BY version DESC
 LIMIT %(limit)s OFFSET %(offset)s

-- name: search
-- Rows and the system's, which come as a parameter, as if they were of one table.
WITH known AS (
    SELECT assistant_id, graph_id, name, description, config, context, metadata, version, created_at, updated_at
      FROM fiel.assistants
     WHERE tenant = %(tenant)s AND owner = %(owner)s
     UNION ALL
    SELECT *
      FROM jsonb_to_recordset(%(system)s) AS s (
               assistant_id uuid, graph_id text, name text, description text, config jsonb, context jsonb,
               metadata jsonb, version int, created_at timestamptz, updated_at timestamptz
           )
)
SELECT assistant_id, graph_id, name, description, config, context, metadata, version, created_at, updated_at
  FROM known
 WHERE graph_id = ANY (%(graphs)s)
   AND (%(name)s::text IS NULL OR position(lower(%(name)s) IN lower(name)) > 0)
   AND metadata @> %(metadata)s
 ORDER BY {order}
 LIMIT %(limit)s OFFSET %(offset)s

-- name: count
WITH known AS (
    SELECT graph_id, name, metadata
      FROM fiel.assistants
     WHERE tenant = %(tenant)s AND owner = %(owner)s
     UNION ALL
    SELECT * FROM jsonb_to_recordset(%(system)s) AS s (graph_id text, name text, metadata jsonb)
)
SELECT count(*) AS count
  FROM known
 WHERE graph_id = ANY (%(graphs)s)
   AND (%(name)s::text IS NULL OR position(lower(%(name)s) IN lower(name)) > 0)
   AND metadata @> %(metadata)s

-- name: delete
WITH crons AS (
    DELETE FROM fiel.crons
     WHERE tenant = %(tenant)s AND owner = %(owner)s AND assistant_id = %(assistant_id)s
)
DELETE FROM fiel.assistants
 WHERE tenant = %(tenant)s AND owner = %(owner)s AND assistant_id = %(assistant_id)s
