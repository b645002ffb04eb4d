"""SQL on PostgreSQL that reaches beyond the program's own rows is refused, and leaves nothing."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from support.log_schema import describe_log
from support.sql_statements import ORDINARY, REFUSED
from support.sql_tables import changes

from projections.sql import SqlRefusedError, SqlStorage
from projections.sql.postgres._cursor import execute_one

if TYPE_CHECKING:
    from support.sql_tables import Migrations

KIND = "postgres"
INSERT = "INSERT INTO person (id, name, note) VALUES (?, ?, ?)"
PEOPLE = """
CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT UNIQUE, note TEXT, data JSONB);
CREATE TABLE child (id BIGSERIAL PRIMARY KEY, person INTEGER REFERENCES person (id));
CREATE INDEX person_note ON person (lower(note));
CREATE VIEW named AS SELECT id, name FROM person WHERE name IS NOT NULL;
"""


@pytest.fixture
def people(storage: SqlStorage, migrations: Migrations) -> SqlStorage:
    storage.apply_migrations(migrations.write("1", PEOPLE))
    with storage.connection() as c:
        c.execute(INSERT, (1, "ana", "x"))
    return storage


@pytest.mark.promise("sql")
@pytest.mark.parametrize("kind", REFUSED)
def test_what_reaches_beyond_the_programs_rows_is_refused(
    people: SqlStorage, url: str, kind: str
) -> None:
    before = describe_log(url)
    with people.connection() as c:
        for sql in REFUSED[kind]:
            with pytest.raises(SqlRefusedError):
                c.execute(sql)
        c.execute(INSERT, (2, "ben", None))
        for sql in REFUSED[kind]:
            with pytest.raises(SqlRefusedError):
                c.executemany(sql, [()])
    after = describe_log(url)
    assert (after.schema, after.settings) == (before.schema, before.settings)
    assert [[new[0] for _, _, _, new in one] for one in changes(url)] == [[1], [2]]


def test_what_programs_ordinarily_say_runs(people: SqlStorage) -> None:
    with people.connection() as c:
        c.execute("BEGIN")
        for sql in ORDINARY:
            c.execute(sql)


def test_one_statement_is_all_that_the_driver_sends(people: SqlStorage, url: str) -> None:
    with psycopg.connect(url, autocommit=True) as raw:
        for sql in ("SELECT 1; SELECT 2", "SELECT 1; DELETE FROM person"):
            with pytest.raises(psycopg.errors.SyntaxError, match="multiple commands"):
                execute_one(raw, sql)
        assert execute_one(raw, "SELECT $1::int + $2", (1, 2)).fetchall() == [(3,)]


def test_a_backslash_means_to_the_server_what_it_means_to_the_parser(
    people: SqlStorage, url: str
) -> None:
    path = url + "%20-cstandard_conforming_strings%3Doff"
    with SqlStorage(path, notify="none") as storage, storage.connection() as c:
        hidden = r"SELECT '\', pg_catalog.set_config('a.b', 'c', false) --'"
        with pytest.raises((SqlRefusedError, sqlite3.Error)):
            c.execute(hidden)
        assert c.execute(r"SELECT '\'").fetchone()[0] == "\\"


HOSTILE = """
CREATE FUNCTION {schema}.harm() RETURNS int LANGUAGE plpgsql AS $$
BEGIN {what}; RETURN 1; END $$
"""


@pytest.mark.parametrize(
    "what",
    [
        "ALTER TABLE event DISABLE TRIGGER USER",
        "DELETE FROM event",
        "EXECUTE 'CREATE TABLE made (id int)'",
        "GRANT SELECT ON event TO PUBLIC",
        "CREATE TRIGGER t AFTER INSERT ON head EXECUTE FUNCTION log_refuses()",
        "UPDATE consumer SET epoch = epoch; INSERT INTO consumer VALUES ('a', 0, '', 1, '', 1)",
        "ALTER TABLE head ADD COLUMN extra int",
        "DROP VIEW named",
    ],
)
@pytest.mark.parametrize("call", ["SELECT harm()", "INSERT INTO person (id) VALUES (harm() + 5)"])
def test_what_a_function_of_others_does_is_found_at_the_commit(
    people: SqlStorage, url: str, what: str, call: str
) -> None:
    with psycopg.connect(url, autocommit=True) as raw:
        (schema,) = raw.execute("SELECT current_schema()").fetchone() or ("",)
        raw.execute(HOSTILE.format(schema=schema, what=what).encode())
    before = describe_log(url)
    with pytest.raises((SqlRefusedError, sqlite3.Error)), people.connection() as c:
        c.execute(call)
    assert describe_log(url) == before


LEFT = """
CREATE FUNCTION {schema}.left_behind() RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_catalog.set_config('search_path', 'nowhere', false);
    PERFORM pg_catalog.set_config('eventstore.capture', 'on', false);
    PERFORM pg_catalog.set_config('default_transaction_read_only', 'off', false);
    PERFORM pg_catalog.pg_advisory_lock(4711);
    EXECUTE 'PREPARE left_over AS SELECT 1';
    EXECUTE 'DECLARE kept CURSOR WITH HOLD FOR SELECT 1';
    EXECUTE 'LISTEN left_open';
    EXECUTE 'SET ROLE NONE';
    RETURN 1;
END $$
"""
SESSION = """
SELECT current_setting('search_path'), current_setting('eventstore.capture', true),
    current_setting('default_transaction_read_only'), current_setting('statement_timeout'),
    current_setting('role'), (SELECT count(*) FROM pg_prepared_statements WHERE from_sql),
    (SELECT count(*) FROM pg_cursors WHERE is_holdable),
    (SELECT count(*) FROM pg_listening_channels()),
    (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid())
"""

TRIGGER = """
CREATE FUNCTION {schema}.left_by_a_trigger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_catalog.pg_advisory_lock(4712); RETURN NEW; END $$;
CREATE TRIGGER left_behind BEFORE INSERT ON {schema}.person
FOR EACH ROW EXECUTE FUNCTION {schema}.left_by_a_trigger();
"""
SETTING = """
CREATE FUNCTION {schema}.lower(person) RETURNS text LANGUAGE sql
AS $$ SELECT pg_catalog.set_config('default_transaction_read_only', 'off', false) $$;
"""


@pytest.mark.parametrize(
    ("others", "statements"),
    [
        (TRIGGER, [(INSERT, (8, "hal", None))]),
        (SETTING, [("SELECT lower(person) FROM person", ())]),
        (SETTING, [("SELECT person.lower FROM person", ())]),
    ],
    ids=["trigger", "overloaded function", "function as a column"],
)
def test_nothing_that_a_plain_statement_calls_unseen_reaches_the_next_user(
    people: SqlStorage, url: str, others: str, statements: list[tuple[str, tuple[Any, ...]]]
) -> None:
    with people.connection() as c:
        fresh = c.execute(SESSION).fetchone()
    with psycopg.connect(url, autocommit=True) as raw:
        (schema,) = raw.execute("SELECT current_schema()").fetchone() or ("",)
        raw.execute(others.format(schema=schema).encode())
    with people.connection() as c:
        for sql, values in statements:
            c.execute(sql, values)
        # Else the next user would find nothing in any case.
        assert [*c.execute(SESSION).fetchone()] != [*fresh]
    with people.connection() as c:
        assert [*c.execute(SESSION).fetchone()] == [*fresh]


def test_a_session_that_the_server_ended_is_given_to_no_caller(
    people: SqlStorage, url: str
) -> None:
    with people.connection() as c:
        ended = c.execute("SELECT pg_backend_pid()").fetchone()[0]
    with psycopg.connect(url, autocommit=True) as raw:
        raw.execute("SELECT pg_terminate_backend(%s, 10000)", (ended,))
    with people.connection() as c:
        assert c.execute("SELECT pg_backend_pid()").fetchone()[0] != ended


def test_nothing_of_a_session_reaches_its_next_user(people: SqlStorage, url: str) -> None:
    with people.connection() as c:
        fresh = [c.execute("SELECT pg_backend_pid()").fetchone()[0], *c.execute(SESSION).fetchone()]
    with psycopg.connect(url, autocommit=True) as raw:
        (schema,) = raw.execute("SELECT current_schema()").fetchone() or ("",)
        raw.execute(LEFT.format(schema=schema).encode())
    with people.connection() as c:
        c.execute("SELECT left_behind()")
    with people.connection() as c:
        found = [c.execute("SELECT pg_backend_pid()").fetchone()[0], *c.execute(SESSION).fetchone()]
        assert found[0] == fresh[0]
        assert [one or None for one in found[1:]] == [one or None for one in fresh[1:]]
        c.execute(INSERT, (7, "gil", None))
