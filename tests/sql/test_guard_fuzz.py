"""Statements made from pieces of others: what the guard lets through leaves the log as it was."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support.examples import examples
from support.log_schema import describe_session
from support.postgres import shared_server
from support.sql_definitions import ORDINARY_POSTGRES, POSTGRES
from support.sql_statements import ORDINARY, REFUSED
from support.sql_tables import Migrations

from projections.sql import SqlRefusedError, SqlStorage
from projections.sql.postgres._cursor import execute_one
from projections.sql.postgres._guard import judge
from projections.sql.postgres._lexer import number_parameters, split_script, tokens
from projections.sql.postgres._migrations import describe_log_tables
from projections.sql.postgres.definitions import judge_definition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Check = Callable[[psycopg.Connection[Any], str], None]

PEOPLE = """
CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT UNIQUE, note TEXT, data JSONB);
CREATE TABLE child (id BIGSERIAL PRIMARY KEY, person INTEGER REFERENCES person (id));
CREATE VIEW named AS SELECT id, name FROM person WHERE name IS NOT NULL;
"""
CORPUS = [*ORDINARY, *(one for kind in REFUSED.values() for one in kind), *POSTGRES]
CORPUS += split_script(ORDINARY_POSTGRES)
NAMES = [
    "event",
    "head",
    "stream",
    "sql_capture",
    "person",
    '"Event"',
    r'U&"\0065vent"',
    "pg_temp.x",
]
WORDS = [
    "FROM",
    "INTO",
    "FOR UPDATE",
    "TEMP",
    "RETURNING *",
    "AS",
    "EXPLAIN ANALYZE",
    "WITH",
    "SET",
]
CALLS = ["set_config('a.b', 'c', false)", "pg_advisory_lock(1)", "nextval('sql_capture_id_seq')"]
CALLS += [
    "pg_notify('eventstore', '')",
    "lo_creat(1)",
    "event_kept()",
    "query_to_xml('', true, true, '')",
]
SEPARATORS = [" ", "/**/", "--\n", ";", "(", ")", ", ", "\n", "'", '"', "$$", "\\"]


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """Return a statement of the corpus with tokens swapped, dropped, doubled or brought in."""
    pieces = [token.text for token in tokens(draw(st.sampled_from(CORPUS)))]
    other = [token.text for token in tokens(draw(st.sampled_from(CORPUS)))]
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(pieces)))
        how = draw(st.sampled_from(["insert", "replace", "drop", "splice", "wrap"]))
        new = draw(st.sampled_from([*NAMES, *WORDS, *CALLS, *SEPARATORS]))
        if how == "insert":
            pieces.insert(at, f" {new} ")
        elif how == "replace" and at < len(pieces):
            pieces[at] = new
        elif how == "drop" and at < len(pieces):
            del pieces[at]
        elif how == "splice":
            cut = draw(st.integers(0, len(other)))
            pieces = [*pieces[:at], " ", *other[cut:]]
        elif how == "wrap":
            pieces = ["WITH x AS (", *pieces, ") SELECT * FROM x"]
    return "".join(pieces)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Iterator[psycopg.Connection[Any]]:
    url = shared_server().fresh_schema()
    migrations = Migrations(tmp_path_factory.mktemp("fuzz") / "migrations")
    with SqlStorage(url, notify="none") as storage:
        storage.apply_migrations(migrations.write("1", PEOPLE))
    with psycopg.connect(url, autocommit=True) as raw:
        raw.execute("SET eventstore.capture = 'on'; SET statement_timeout = '2s'")
        raw.execute("DO $$ BEGIN END $$")  # The language adds settings when it is loaded.
        yield raw


def passes(sql: str) -> str | None:
    """Return what the guard lets through, as it is sent; ``None`` for what it refuses."""
    query, _ = number_parameters(sql)
    try:
        verdict = judge(query)
    except (SqlRefusedError, sqlite3.OperationalError):
        return None
    return None if verdict.kind in {"begin", "commit", "rollback", "savepoint"} else query


def check_statement(raw: psycopg.Connection[Any], sql: str) -> None:
    if (query := passes(sql)) is None:
        return
    before = describe_session(raw)
    raw.execute("BEGIN")
    try:
        execute_one(raw, query)
        raw.execute("COMMIT")
    except (psycopg.Error, UnicodeError):
        raw.execute("ROLLBACK")
    raw.execute("DISCARD TEMP")
    assert describe_session(raw) == before, sql


FUZZ = settings(
    deadline=None,
    suppress_health_check=list(HealthCheck),
    max_examples=examples(60),
)


def check_definition(raw: psycopg.Connection[Any], sql: str) -> None:
    try:
        judge_definition(sql)
    except SqlRefusedError:
        return
    raw.execute("BEGIN")
    try:
        before = describe_log_tables(raw)
        execute_one(raw, sql)
        assert describe_log_tables(raw) == before, sql
    except psycopg.Error:
        pass
    finally:
        raw.execute("ROLLBACK")


each_guard = pytest.mark.parametrize(
    "check", [check_statement, check_definition], ids=["statements", "definitions"]
)


@pytest.mark.promise("sql")
@each_guard
@FUZZ
@given(sql=mutated())
@example(sql="SELECT 1")
@example(sql="INSERT INTO person (id) VALUES (1)")
@example(sql="CREATE TABLE x (id int PRIMARY KEY)")
def test_what_a_guard_lets_through_leaves_the_log_as_it_was(
    raw: psycopg.Connection[Any], check: Check, sql: str
) -> None:
    check(raw, sql)


@pytest.mark.soak
@pytest.mark.timeout(7200)
@each_guard
@settings(FUZZ, max_examples=50_000)
@given(sql=mutated())
def test_what_a_guard_lets_through_leaves_the_log_as_it_was_for_long(
    raw: psycopg.Connection[Any], check: Check, sql: str
) -> None:
    check(raw, sql)


def test_the_corpus_has_statements_of_both_kinds() -> None:
    passed = [sql for sql in CORPUS if passes(sql) is not None]
    assert len(passed) > 30
    assert not set(passed) & {sql for kind in REFUSED.values() for sql in kind}
