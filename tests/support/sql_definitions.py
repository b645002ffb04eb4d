"""Statements that no migration may have, on either database, and ordinary ones."""

from __future__ import annotations

from typing import Final

BOTH: Final = [
    "DROP TABLE event",
    'ALTER TABLE "Head" ADD COLUMN x INTEGER',
    "ALTER TABLE person RENAME TO named_lock",
    "CREATE TABLE projection (id INTEGER PRIMARY KEY)",
    'CREATE TABLE "PROJECTION_failure" (id INTEGER PRIMARY KEY)',
    "CREATE TABLE sql_capture_more (id INTEGER PRIMARY KEY)",
    "ALTER TABLE person RENAME TO sql_capture_more",
    "CREATE VIEW touched AS SELECT 1 AS one",
    "CREATE INDEX named_lock ON person (name)",
    "CREATE INDEX mine ON event (position)",
    "CREATE TABLE ours (id INTEGER PRIMARY KEY, e INTEGER REFERENCES event (position))",
    "CREATE TABLE ours (id INTEGER PRIMARY KEY, FOREIGN KEY (id) REFERENCES stream (id))",
    "INSERT INTO stream (id, name, version) VALUES (99, 'a/b', 1)",
    "UPDATE head SET position = 0",
    "DELETE FROM consumer",
    "CREATE TEMP TABLE event (id INTEGER)",
    "SAVEPOINT a",
    "COMMIT",
]
"""Refused on both."""

FREE_ONCE: Final = "CREATE TRIGGER stream AFTER INSERT ON person BEGIN SELECT 1; END"
"""Refused now; logs of earlier versions may hold it, and nothing finds a trigger by its name."""

SQLITE: Final = [
    *BOTH,
    "ATTACH '/tmp/other.db' AS other",
    "ATTACH ':memory:' AS main2",
    "DETACH main",
    "VACUUM INTO '/tmp/copy.db'",
    "CREATE TRIGGER event_extra AFTER INSERT ON event BEGIN SELECT 1; END",
    'DROP TRIGGER "event_kept"',
    "CREATE TEMP TRIGGER t AFTER INSERT ON person BEGIN DELETE FROM event; END",
    "CREATE TEMP VIEW [Event] AS SELECT 1",
    "CREATE TEMP TABLE `head` AS SELECT 1",
    "CREATE VIRTUAL TABLE kept2 USING sqlite_dbpage",
    "CREATE VIRTUAL TABLE consumer USING fts5 (a)",
    "PRAGMA writable_schema = ON",
    "PRAGMA foreign_keys(1); DROP TABLE event",
    "ALTER TABLE person ADD COLUMN e INTEGER REFERENCES event (position)",
    "CREATE TABLE ours AS SELECT fts3_tokenizer('simple', x'4141414141414141')",
    "CREATE INDEX ours ON person (load_extension(name))",
    "CREATE TABLE [eVeNt] (a PRIMARY KEY) WITHOUT ROWID",
    "CREATE VIEW \"Head\" AS SELECT 1",
    "CREATE TABLE ours (id INTEGER PRIMARY KEY, n AS (fts3_tokenizer('simple')))",
    "CREATE TRIGGER t INSTEAD OF DELETE ON event BEGIN SELECT 1; END",
    "PRAGMA main.schema_version = 9",
    "REINDEX event; DROP TABLE head",
]  # fmt: skip

_BODIES: Final = [
    "BEGIN EXECUTE 'DROP TABLE event'; END",
    "BEGIN FOR n IN EXECUTE 'SELECT 1' LOOP NULL; END LOOP; END",
    "BEGIN RETURN QUERY EXECUTE 'x'; END",
    "DECLARE c refcursor; BEGIN OPEN c FOR EXECUTE 'x'; END",
    "BEGIN DROP TABLE event; END",
    "BEGIN PERFORM pg_advisory_lock(1); END",
    "DECLARE x int[]; BEGIN x[set_config('a.b', ':=', false)::int] := 1; END",
    "DECLARE x int; BEGIN x := 1 + lo_creat(1); END",
    "DECLARE x text := set_config('a.b', 'c', false); BEGIN END",
    "DECLARE c CURSOR FOR SELECT 1 FROM head FOR UPDATE; BEGIN OPEN c; END",
    "BEGIN RAISE NOTICE '%', set_config('a.b', 'c', false); END",
    "BEGIN IF true THEN LOOP EXIT WHEN pg_notify('eventstore', '') IS NULL; END LOOP; END IF; END",
    "BEGIN NULL; EXCEPTION WHEN OTHERS THEN DELETE FROM event; END",
    "BEGIN SET search_path = x; END",
    "BEGIN COMMIT; END",
    "BEGIN CALL p(); END",
    "BEGIN TRUNCATE event; END",
]

POSTGRES: Final = [
    *BOTH,
    *[f"CREATE FUNCTION f() RETURNS SETOF int LANGUAGE plpgsql AS $${one}$$" for one in _BODIES],
    "ALTER TABLE event DISABLE TRIGGER USER",
    r'DROP TABLE U&"\0065vent" CASCADE',
    "ALTER TABLE person INHERIT event",
    "CREATE TABLE ours () INHERITS (event)",
    "CREATE TABLE ours PARTITION OF event FOR VALUES IN (1)",
    "CREATE TABLE ours (LIKE head)",
    "CREATE TABLE ours (id INTEGER PRIMARY KEY, e event)",
    "CREATE VIEW ours AS SELECT * FROM event",
    "CREATE MATERIALIZED VIEW ours AS SELECT * FROM stream",
    "CREATE VIEW ours AS WITH x AS (SELECT 1 FROM head) SELECT * FROM x",
    "CREATE RULE r AS ON INSERT TO person DO INSTEAD NOTHING",
    "CREATE TRIGGER t AFTER INSERT ON event FOR EACH ROW EXECUTE FUNCTION log_refuses()",
    "CREATE TRIGGER t AFTER INSERT ON person EXECUTE FUNCTION log_refuses()",
    "DROP TRIGGER event_kept ON event",
    "CREATE OR REPLACE FUNCTION event_kept() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'",
    "DROP FUNCTION log_refuses() CASCADE",
    "ALTER FUNCTION event_kept() SET search_path = x",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'DELETE FROM event; SELECT 1'",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC DELETE FROM event; SELECT 1; END",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql RETURN set_config('a.b', 'c', false)::int",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql SET search_path = x AS 'SELECT 1'",
    "CREATE FUNCTION f() RETURNS int LANGUAGE c AS 'libc', 'system'",
    "CREATE PROCEDURE f() LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$",
    "CREATE TABLE ours (id int PRIMARY KEY DEFAULT pg_advisory_lock(1)::text::int)",
    "CREATE INDEX ours ON person ((set_config('a.b', name, false)))",
    "ALTER TABLE person ADD CHECK (pg_notify('eventstore', name) IS NULL)",
    "CREATE DOMAIN ours AS int CHECK (lo_creat(VALUE) > 0)",
    "CREATE TYPE event AS ENUM ('a')",
    "CREATE TYPE stream AS (a int)",
    "CREATE DOMAIN head AS int",
    "CREATE SEQUENCE kept",
    "CREATE SEQUENCE ours OWNED BY event.position",
    "CREATE SCHEMA other",
    "CREATE EXTENSION dblink",
    "CREATE OPERATOR = (LEFTARG = int, RIGHTARG = text, FUNCTION = f)",
    "CREATE CAST (int AS text) WITH INOUT",
    "CREATE AGGREGATE f (int) (SFUNC = int4pl, STYPE = int)",
    "CREATE POLICY p ON person",
    "CREATE EVENT TRIGGER t ON ddl_command_end EXECUTE FUNCTION log_refuses()",
    "CREATE PUBLICATION p FOR ALL TABLES",
    "CREATE ROLE r SUPERUSER",
    "ALTER TABLE person OWNER TO CURRENT_USER",
    "ALTER TABLE person ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE person SET SCHEMA pg_temp",
    "ALTER DATABASE tests SET search_path = x",
    "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC",
    "ALTER INDEX event_pkey RENAME TO gone",
    "GRANT ALL ON event TO PUBLIC",
    "GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC",
    "REASSIGN OWNED BY CURRENT_USER TO postgres",
    "COMMENT ON COLUMN event.position IS 'x'",
    "SECURITY LABEL ON TABLE event IS 'x'",
    "SET search_path = x",
    "DO $$ BEGIN DROP TABLE event; END $$",
    "COPY person FROM PROGRAM 'id'",
    "SELECT * INTO ours FROM person",
    "EXPLAIN ANALYZE DELETE FROM event",
    "WITH x AS (DELETE FROM event RETURNING 1) SELECT * FROM x",
    "SELECT pg_catalog.set_config('a.b', 'c', false)",
    "NOTIFY eventstore",
    "COPY event TO PROGRAM 'id'",
    "PREPARE p AS DELETE FROM event",
    "EXECUTE p",
    "LISTEN eventstore",
    "ALTER EVENT TRIGGER t DISABLE",
    'CREATE OR REPLACE RULE "_RETURN" AS ON SELECT TO person DO INSTEAD SELECT * FROM event',
    "CREATE FUNCTION pg_temp.event_kept() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "COMMENT ON TRIGGER event_kept ON event IS 'x'",
    "SECURITY LABEL ON COLUMN event.position IS 'x'",
    "ALTER DEFAULT PRIVILEGES REVOKE ALL ON FUNCTIONS FROM PUBLIC",
    "ALTER EXTENSION plpgsql DROP FUNCTION log_refuses()",
    "CREATE VIEW ours AS SELECT 1 FROM person WHERE EXISTS (SELECT 1 FROM head)",
    "CREATE TEMP VIEW event AS SELECT 1",
    "WITH d AS (DELETE FROM consumer RETURNING 1), i AS (INSERT INTO person (id) TABLE d) SELECT 1",
]

ORDINARY_POSTGRES: Final = """
CREATE TYPE mood AS ENUM ('good', 'bad');
ALTER TYPE mood ADD VALUE 'new';
CREATE TYPE point2 AS (x int, y int);
CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
CREATE SEQUENCE numbers START 5;
CREATE TABLE task (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, uid uuid NOT NULL
    DEFAULT gen_random_uuid(), n positive DEFAULT nextval('numbers'), m mood, "event" jsonb,
    made timestamptz NOT NULL DEFAULT now(), head text CHECK (head <> ''),
    person integer REFERENCES person (id) ON DELETE SET NULL, UNIQUE (uid));
CREATE UNIQUE INDEX task_mood ON task (lower(head)) WHERE m IS NOT NULL;
ALTER TABLE task ADD COLUMN stream text DEFAULT 'x', ALTER COLUMN head SET NOT NULL;
ALTER TABLE task RENAME COLUMN stream TO kept;
ALTER TABLE task ADD CONSTRAINT event CHECK (id > 0), DROP CONSTRAINT task_uid_key;
CREATE VIEW tasks AS WITH x AS (SELECT * FROM task) SELECT count(*) FROM x;
CREATE MATERIALIZED VIEW heads AS SELECT head, count(*) AS n FROM task GROUP BY head;
CREATE FUNCTION double(a int) RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT a * 2 $$;
CREATE FUNCTION triple(a int) RETURNS int LANGUAGE sql RETURN a * 3;
CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    n int := 0; r record; list int[] := ARRAY[1, 2];
BEGIN
    IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
    FOR r IN SELECT id FROM person WHERE id > n LOOP n := n + r.id; list[1] := n; END LOOP;
    SELECT max(id) INTO n FROM person;
    UPDATE person SET note = 'x' WHERE id = n;
    GET DIAGNOSTICS n = ROW_COUNT;
    BEGIN INSERT INTO person (id) VALUES (77); EXCEPTION WHEN unique_violation THEN n = 1; END;
    IF n > 5 THEN RAISE EXCEPTION 'too many: %', n USING HINT = 'fewer'; END IF;
    NEW.head := coalesce(NEW.head, 'h');
    RETURN NEW;
END $$;
CREATE TRIGGER noted BEFORE INSERT OR UPDATE ON task FOR EACH ROW EXECUTE FUNCTION noted();
COMMENT ON TABLE task IS 'what is to be done';
COMMENT ON COLUMN task.head IS 'its title';
GRANT SELECT ON task TO PUBLIC;
CREATE TEMP TABLE scratch AS SELECT * FROM person;
INSERT INTO task (id, head, m) VALUES (1, 'a', 'good') ON CONFLICT DO NOTHING;
UPDATE task SET n = double(n) WHERE id IN (SELECT max(id) FROM task);
DELETE FROM task WHERE id = 2;
DROP TRIGGER noted ON task;
DROP FUNCTION triple(int);
DROP INDEX task_mood;
"""
