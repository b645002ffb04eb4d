"""Roles that share the log's database, and what they may make there."""

from __future__ import annotations

import re
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import psycopg
import pytest
from anyio import to_thread
from support.postgres import shared_server

from eventstore import EventStore, NewEvent
from eventstore.errors import StorageError
from eventstore.log.clock import system_clock
from eventstore.storage.postgres.backend import PostgresBackend
from projections.sql import SqlStorage

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSWORD = "p"


def schema_of(url: str) -> str:
    return url.rpartition("%3D")[2]


@contextmanager
def role(name: str) -> Iterator[str]:
    """Make a role for a test, and drop it with all that it owns; gives its name."""
    server = shared_server()
    server.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")
    try:
        yield name
    finally:
        server.execute(f"DROP OWNED BY {name} CASCADE; DROP ROLE {name}")


@contextmanager
def neighbour(name: str) -> Iterator[tuple[str, str, str]]:
    """Let a role make what it likes in a fresh schema; gives its URL, its name, the role's URL."""
    url = shared_server().fresh_schema()
    schema = schema_of(url)
    with role(name):
        shared_server().execute(f"GRANT ALL ON SCHEMA {schema} TO {name}")
        yield url, schema, as_role(url, name)


def as_role(url: str, name: str) -> str:
    head, _, rest = url.partition("://")
    return f"{head}://{name}:{quote(PASSWORD)}@{rest.rpartition('@')[2]}"


SHADOWS = [
    "CREATE FUNCTION {s}.pg_advisory_xact_lock(int) RETURNS void {body}",
    "CREATE FUNCTION {s}.hashtext(varchar) RETURNS int {body}",
    "CREATE FUNCTION {s}.quote_ident(name) RETURNS text {body}",
    "CREATE FUNCTION {s}.to_regclass(varchar) RETURNS regclass {body}",
    "CREATE FUNCTION {s}.pg_try_advisory_lock(int) RETURNS boolean {body}",
    "CREATE FUNCTION {s}.md5(name) RETURNS text {body}",
    """CREATE FUNCTION {s}.same(oid, regnamespace) RETURNS boolean {body};
    CREATE OPERATOR {s}.= (LEFTARG = oid, RIGHTARG = regnamespace, FUNCTION = {s}.same)""",
    """CREATE FUNCTION {s}.joined(text, name) RETURNS text {body};
    CREATE OPERATOR {s}.|| (LEFTARG = text, RIGHTARG = name, FUNCTION = {s}.joined)""",
]  # fmt: skip
BODY = """LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'code of a stranger ran as %', current_user; END $$"""


@pytest.mark.anyio
async def test_functions_of_another_role_never_run_for_the_log() -> None:
    with neighbour("shadower") as (url, schema, theirs):
        with psycopg.connect(theirs) as raw:
            for shadow in SHADOWS:
                raw.execute(shadow.format(s=schema, body=BODY).encode())
        async with EventStore.open(url) as store:
            await store.append("a/b", [NewEvent("X", n) for n in range(20)])
            await store.append("a/b", [NewEvent("X", 1)], expected=20)
            lock = store._maintenance.named_lock("mine")
            assert lock is not None
            assert lock.try_acquire("me")
            lock.release()
            assert [event.position async for event in store.read(after=19)] == [20, 21]


@pytest.mark.parametrize(
    "made",
    [
        "CREATE TABLE {s}.named_lock (name text PRIMARY KEY, lock_key bigint, owner text)",
        "CREATE TABLE {s}.projection (name text PRIMARY KEY)",
        "CREATE VIEW {s}.event AS SELECT 1 AS position",
        "CREATE TABLE {s}.sql_capture (id int)",
        "CREATE FUNCTION {s}.log_refuses() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'",
        "CREATE TABLE {s}.schema_migrations (name text)",
        "CREATE SEQUENCE {s}.stream",
    ],
)
def test_what_another_role_has_made_under_a_name_of_the_log_is_not_used(made: str) -> None:
    with neighbour("squatter") as (url, schema, theirs):
        with psycopg.connect(theirs) as raw:
            raw.execute(made.format(s=schema).encode())
        backend = PostgresBackend(url, system_clock)
        with pytest.raises(StorageError, match="belongs to the role 'squatter'"):
            backend.open()


@pytest.mark.anyio
async def test_a_lock_table_that_another_role_makes_later_is_not_used() -> None:
    with neighbour("latecomer") as (url, schema, theirs):
        async with EventStore.open(url) as store:
            with psycopg.connect(theirs) as raw:
                raw.execute(
                    f"CREATE TABLE {schema}.named_lock (name text PRIMARY KEY, lock_key bigint, "
                    "owner text, note text)".encode()
                )
            lock = store._maintenance.named_lock("mine")
            assert lock is not None
            with pytest.raises(StorageError, match=r"'named_lock'.*'latecomer'"):
                lock.try_acquire("me")


MORE_SHADOWS = [
    "CREATE FUNCTION {s}.unnest(int2vector) RETURNS SETOF int {body}",
    "CREATE FUNCTION {s}.format_type(oid, int) RETURNS text {body}",
    """CREATE FUNCTION {s}.is_table(oid, regclass) RETURNS boolean {body};
    CREATE OPERATOR {s}.= (LEFTARG = oid, RIGHTARG = regclass, FUNCTION = {s}.is_table)""",
    """CREATE FUNCTION {s}.unlike(name, name) RETURNS boolean {body};
    CREATE OPERATOR {s}.!~~ (LEFTARG = name, RIGHTARG = name, FUNCTION = {s}.unlike)""",
    """CREATE FUNCTION {s}.joined(name, name) RETURNS text {body};
    CREATE OPERATOR {s}.|| (LEFTARG = name, RIGHTARG = name, FUNCTION = {s}.joined)""",
]


def test_functions_of_another_role_never_run_for_sql_storage(tmp_path: Path) -> None:
    url = shared_server().fresh_schema()
    schema = f"{schema_of(url)}_others"
    (tmp_path / "1.sql").write_text("CREATE TABLE person (id SERIAL PRIMARY KEY, name TEXT)")
    with role("sql_shadower") as name:
        shared_server().execute(f"CREATE SCHEMA {schema} AUTHORIZATION {name}")
        with psycopg.connect(as_role(url, name)) as raw:
            for shadow in SHADOWS + MORE_SHADOWS:
                raw.execute(shadow.format(s=schema, body=BODY).encode())
            raw.execute(f"GRANT USAGE ON SCHEMA {schema} TO PUBLIC".encode())
        with SqlStorage(f"{url}%2C{schema}", notify="none") as storage:
            with storage.connection() as c:
                assert schema in c.execute("SHOW search_path").fetchone()[0]
            assert storage.apply_migrations(tmp_path) == ["1"]
            with storage.connection() as c:
                c.execute("INSERT INTO person (name) VALUES (?)", ("ana",))
                c.execute("UPDATE person SET name = 'eva'")
            storage.rebuild()
            with storage.connection() as c:
                assert c.execute("SELECT name FROM person").fetchone()["name"] == "eva"


@pytest.mark.parametrize("late", ["schema_migrations", "sql_capture"])
def test_a_table_of_sql_storage_that_another_role_makes_later_is_not_used(
    late: str, tmp_path: Path
) -> None:
    url = shared_server().fresh_schema()
    schema = schema_of(url)
    (tmp_path / "1.sql").write_text(PEOPLE)
    with role("sql_latecomer") as name, SqlStorage(url, notify="none") as storage:
        storage.open()
        shared_server().execute(f"GRANT ALL ON SCHEMA {schema} TO {name}")
        with psycopg.connect(as_role(url, name)) as raw:
            raw.execute(
                f"CREATE TABLE {schema}.{late} (id serial, op text, tbl text, old text[], "
                "new text[], name text, checksum text, applied_at text)".encode()
            )
        with pytest.raises(StorageError, match=rf"'{late}[^']*'.*'sql_latecomer'"):
            storage.apply_migrations(tmp_path)


def test_temporary_tables_stand_in_for_nothing_of_the_log() -> None:
    url = shared_server().fresh_schema()
    backend = PostgresBackend(url, system_clock)
    backend.open()
    with backend._snapshot() as driver:
        raw = driver.raw
        path = raw.execute("SHOW search_path").fetchone()[0]
        assert path == f"{schema_of(url)}, pg_temp"
        functions = raw.execute(
            "SELECT proname, proconfig FROM pg_proc WHERE pronamespace = %s::regnamespace",
            (schema_of(url),),
        ).fetchall()
    assert len(functions) == 4
    assert {tuple(config) for _, config in functions} == {(f"search_path={path}",)}
    backend.close()


ROLES = ("log_owner", "log_appender", "log_reader", "sql_program")
PEOPLE = "CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT)"


@contextmanager
def documented_roles(tmp_path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Do what docs/postgres.md says; give the schema, and the URL of each role."""
    server = shared_server()
    schema = f"{schema_of(server.fresh_schema())}_rules"
    block = Path("docs/postgres.md").read_text().partition("```sql\n")[2].partition("```")[0]
    with ExitStack() as stack:
        names = {one: stack.enter_context(role(f"{one}_{schema}")) for one in ROLES}
        for one, name in names.items():
            block = re.sub(rf"\b{one}\b", name, block)
        before, _, after = re.sub(r"\brules\b", schema, block).partition("-- As the owner")
        server.execute(before)
        base = f"{server.url()}?options=-csearch_path%3D{schema}"
        urls = {one: as_role(base, name) for one, name in names.items()}
        migrations = tmp_path / "migrations"
        migrations.mkdir()
        (migrations / "1.sql").write_text(PEOPLE)
        with SqlStorage(urls["log_owner"], notify="none") as storage:
            storage.apply_migrations(migrations)
        with psycopg.connect(urls["log_owner"]) as raw:
            raw.execute(f"-- {after}".encode())
        yield schema, urls


FORBIDDEN = [
    "DELETE FROM event",
    "UPDATE event SET type = 'x'",
    "UPDATE stream SET name = 'x'",
    "UPDATE head SET log_id = 'x'",
    "TRUNCATE event",
    "ALTER TABLE event DISABLE TRIGGER USER",
    "ALTER TABLE person DISABLE TRIGGER ALL",
    "DROP TABLE person",
    "CREATE TABLE named_lock (x int)",
    "CREATE FUNCTION hashtext(varchar) RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE OR REPLACE FUNCTION event_kept() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'",
    "DO $$ BEGIN EXECUTE 'RESET ROLE'; EXECUTE 'DELETE FROM event'; END $$",
    "DELETE FROM schema_migrations",
    "DELETE FROM kept",
]


@pytest.mark.promise("sql")
@pytest.mark.anyio
async def test_the_documented_roles_can_do_their_work_and_no_more(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with documented_roles(tmp_path) as (_, urls):
        async with EventStore.open(urls["log_appender"], notify="none") as store:
            for number in range(2):
                await store.append("a/b", [NewEvent("X", number)])
            assert "several statements" not in caplog.text
            async with store.subscribe_changes(consumer="w", follow=False) as changes:
                assert [event.type async for event in changes] == ["SchemaChanged", "X", "X"]
        await to_thread.run_sync(_insert_by_sql, urls["sql_program"])
        async with EventStore.open(urls["log_reader"], notify="none", create=False) as store:
            types = [event.type async for event in store.read()]
            assert types == ["SchemaChanged", "X", "X", "RowsChanged"]
            with pytest.raises(StorageError, match="permission denied"):
                await store.append("a/b", [NewEvent("X", 2)])
        for one in ("log_appender", "log_reader", "sql_program"):
            for statement in FORBIDDEN:
                with psycopg.connect(urls[one]) as raw:
                    with pytest.raises(psycopg.errors.InsufficientPrivilege):
                        raw.execute(statement.encode())
                    raw.rollback()


def _insert_by_sql(url: str) -> None:
    with SqlStorage(url, notify="none") as storage, storage.connection() as c:
        c.execute("INSERT INTO person VALUES (?, ?)", (1, "ana"))
        c.execute("UPDATE person SET name = 'ann'")
