-- The statements that lead from the roles, owners and privileges of this database to the wanted ones, in their order.
-- What is as wanted has none. `wanted_…` are arrays side by side; the object's name is '' for the schema and for the
-- database, the column is '' for all of them. Privileges of other roles than ours and PUBLIC are left alone, and those
-- of PUBLIC on the schema, the database and types.
WITH role AS (
    SELECT name, to_regrole(name) AS oid FROM unnest(%(roles)s::text[]) AS name
), schema AS (
    SELECT oid, quote_ident(nspname) AS called, nspowner, nspacl FROM pg_namespace WHERE nspname = current_schema()
), relation AS (
    SELECT class.oid, class.relname::text AS name, class.relowner, class.relacl
    FROM pg_class AS class
    JOIN schema ON schema.oid = class.relnamespace
    WHERE class.relkind IN ('r', 'p', 'v') AND class.relname = ANY (%(relations)s)
       OR class.relkind = 'r' AND class.relname ~ '^(meter|vehicle)_history_[0-9]{8}$'
), object AS (
    SELECT 'TABLE' AS kind, name, '' AS of_column, oid::regclass::text AS called, relowner AS owner,
           coalesce(relacl, acldefault('r', relowner)) AS acl
    FROM relation
    UNION ALL
    SELECT 'TABLE', relation.name, attribute.attname, relation.oid::regclass::text, relation.relowner, attribute.attacl
    FROM relation
    JOIN pg_attribute AS attribute ON attribute.attrelid = relation.oid AND attribute.attacl IS NOT NULL
    UNION ALL
    SELECT 'SEQUENCE', class.relname, '', class.oid::regclass::text, relation.relowner, class.relacl
    FROM relation
    JOIN pg_depend AS link ON link.refclassid = 'pg_class'::regclass AND link.refobjid = relation.oid
    JOIN pg_class AS class ON link.classid = 'pg_class'::regclass AND class.oid = link.objid AND class.relkind = 'S'
    WHERE class.relacl IS NOT NULL
    UNION ALL
    SELECT 'FUNCTION', routine.proname, '', routine.oid::regprocedure::text, routine.proowner,
           coalesce(routine.proacl, acldefault('f', routine.proowner))
    FROM pg_proc AS routine
    JOIN schema ON schema.oid = routine.pronamespace
    WHERE routine.proname = ANY (%(functions)s)
    UNION ALL
    SELECT 'TYPE', type.typname, '', type.oid::regtype::text, type.typowner,
           coalesce(type.typacl, acldefault('T', type.typowner))
    FROM pg_type AS type
    JOIN schema ON schema.oid = type.typnamespace
    WHERE type.typname = ANY (%(types)s)
    UNION ALL
    SELECT 'SCHEMA', '', '', called, nspowner, coalesce(nspacl, acldefault('n', nspowner)) FROM schema
    UNION ALL
    SELECT 'DATABASE', '', '', quote_ident(datname), datdba, coalesce(datacl, acldefault('d', datdba))
    FROM pg_database WHERE datname = current_database()
), actual AS (
    SELECT object.kind, object.called, object.of_column, coalesce(role.name, 'PUBLIC') AS grantee,
           granted.privilege_type AS privilege, bool_or(granted.is_grantable) AS may_grant
    FROM object
    CROSS JOIN LATERAL aclexplode(object.acl) AS granted
    LEFT JOIN role ON role.oid = granted.grantee
    WHERE granted.grantee <> object.owner
      AND (role.name <> %(owner)s AND role.name IS NOT NULL
           OR role.name = %(owner)s AND object.kind IN ('SCHEMA', 'DATABASE')
           OR granted.grantee = 0 AND object.kind IN ('TABLE', 'SEQUENCE', 'FUNCTION'))
    GROUP BY 1, 2, 3, 4, 5
), wanted AS (
    SELECT object.kind, object.called, asked.of_column, asked.grantee, asked.privilege
    FROM unnest(%(wanted_grantees)s::text[], %(wanted_kinds)s::text[], %(wanted_names)s::text[],
                %(wanted_columns)s::text[], %(wanted_privileges)s::text[])
             AS asked (grantee, kind, name, of_column, privilege)
    JOIN object ON object.kind = asked.kind AND object.name = asked.name AND object.of_column = ''
    LEFT JOIN role ON role.name = asked.grantee
    WHERE role.oid IS DISTINCT FROM object.owner
), change AS (
    SELECT 'REVOKE' AS verb, kind, called, of_column, grantee, privilege FROM actual
    WHERE (kind, called, of_column, grantee, privilege)
          NOT IN (SELECT kind, called, of_column, grantee, privilege FROM wanted)
    UNION ALL
    SELECT 'REVOKE GRANT OPTION FOR', kind, called, of_column, grantee, privilege FROM actual
    WHERE may_grant AND (kind, called, of_column, grantee, privilege)
                        IN (SELECT kind, called, of_column, grantee, privilege FROM wanted)
    UNION ALL
    SELECT 'GRANT', kind, called, of_column, grantee, privilege FROM wanted
    WHERE (kind, called, of_column, grantee, privilege)
          NOT IN (SELECT kind, called, of_column, grantee, privilege FROM actual)
), step AS (
    SELECT 1 AS place, format('CREATE ROLE %%I NOLOGIN', name) AS statement FROM role WHERE oid IS NULL
    UNION ALL
    -- Whoever hands over what he owns goes on with it, and must be a member to do so.
    SELECT 2, format('GRANT %%I TO %%I', %(owner)s::text, session_user)
    FROM pg_roles AS me
    JOIN role ON role.name = %(owner)s
    WHERE me.rolname = session_user AND NOT me.rolsuper
      AND (role.oid IS NULL OR NOT pg_has_role(session_user, role.oid, 'USAGE'))
    UNION ALL
    -- What a role is a member of, it may do as well: pg_write_all_data is every table's.
    SELECT 2, format('REVOKE %%I FROM %%I', granted.rolname, member.name)
    FROM pg_auth_members AS bond
    JOIN pg_roles AS granted ON granted.oid = bond.roleid
    JOIN role AS member ON member.oid = bond.member
    UNION ALL
    -- Tables come first: their triggers run with the rights of the functions' owner, who is a member until then.
    SELECT CASE kind WHEN 'TABLE' THEN 4 ELSE 5 END, format('ALTER %%s %%s OWNER TO %%I', kind, called, %(owner)s::text)
    FROM object
    WHERE kind IN ('TABLE', 'FUNCTION', 'TYPE') AND of_column = ''
      AND owner IS DISTINCT FROM (SELECT oid::oid FROM role WHERE name = %(owner)s)
    UNION ALL
    SELECT CASE WHEN kind IN ('SCHEMA', 'DATABASE') THEN 3 WHEN verb = 'GRANT' THEN 7 ELSE 6 END,
           format('%%s %%s ON %%s %%s %%s %%s%%s', verb,
                  string_agg(concat(privilege, ' (' || quote_ident(nullif(of_column, '')) || ')'), ', '
                             ORDER BY privilege, of_column),
                  kind, called, CASE verb WHEN 'GRANT' THEN 'TO' ELSE 'FROM' END,
                  CASE grantee WHEN 'PUBLIC' THEN grantee ELSE quote_ident(grantee) END,
                  CASE WHEN verb <> 'GRANT' THEN ' CASCADE' END)
    FROM change
    GROUP BY verb, kind, called, grantee
)
SELECT statement FROM step ORDER BY place, statement
