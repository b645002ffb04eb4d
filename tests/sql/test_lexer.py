"""Parameters are told from what only looks like them; PostgreSQL itself is asked about the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from projections.sql.postgres.lexer import split, to_psycopg, tokens, words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from support.postgres import Server

PARAMETERS = [
    ("SELECT ?", 1),
    ("SELECT * FROM t WHERE a = ? AND b IN (?, ?) LIMIT ? OFFSET ?", 5),
    ("SELECT a||?||b, x=?, y<>?, -?, z>=?::int", 5),
    ("INSERT INTO t VALUES (?,?) ON CONFLICT (a) DO UPDATE SET b = ? RETURNING ?", 4),
    ("SELECT CASE WHEN ? THEN ? ELSE ? END", 3),
    ("SELECT a BETWEEN ? AND ? OR NOT ? OR b LIKE ? ESCAPE ?", 5),
    ("SELECT '?', 'it''s ?', E'\\'?', U&'?', B'?', \"a?\"\"?\" FROM t", 0),
    ("SELECT $$?$$, $a$ ? $$ ? $a$, $é$?$é$ -- ?\n /* ? /* ? */ ? */", 0),
    ("SELECT a$b$?, c", 0),
    ("SELECT data ? 'key', data ?| ARRAY['a'], data ?& names, (data) ? 'b', d[1] ? 'c'", 0),
    ("SELECT data -> 'x' ? 'y', data @? '$.a', \"data\" ? ?, '{}' ? ?", 2),
    ("SELECT data ? ? AND data ?| ?", 2),
]


@pytest.mark.parametrize(("sql", "count"), PARAMETERS, ids=[sql for sql, _ in PARAMETERS])
def test_parameters_are_counted(sql: str, count: int) -> None:
    query, found = to_psycopg(sql)
    assert found == count
    assert query.replace("%s", "?", count).replace("%%", "%").count("?") == sql.count("?")


def test_percent_signs_stay_themselves() -> None:
    assert to_psycopg("SELECT '100%', 5 % ?, \"%s\"") == ("SELECT '100%%', 5 %% %s, \"%%s\"", 1)


def test_statements_end_where_the_server_says() -> None:
    script = "SELECT 1; -- ;\nSELECT ';' /* ; */; CREATE FUNCTION f() AS $x$ a; b; $x$;;SELECT 2"
    assert [one.split()[-1] for one in split(script)] == ["1", "*/", "$x$", "2"]
    assert words(" -- x\n (SELECT 1)") == ["select"]


pieces = st.sampled_from(
    ["'a?b'", "'it''s'", "E'\\'?'", '"q?"', "$$ ? ' $$", "$t$ $$ $t$", "/* ? /* ' */ */",
     "-- ' ?\n", " ", ",", "1", "||", "'%s'", "x'3F'", "U&'\\0061'", "e'\\\\'"]
)  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(pieces, max_size=8).map("".join))
def test_what_is_no_parameter_reaches_the_server_as_it_was(
    connection: psycopg.Connection, sql: str
) -> None:
    assert "".join(token.text for token in tokens(sql)) == sql
    query, count = to_psycopg(f"SELECT {sql}")
    assert count == 0
    with connection.transaction(force_rollback=True):
        assert ask(connection, query, ()) == ask(connection, f"SELECT {sql}", None)


def ask(connection: psycopg.Connection, sql: str, parameters: Sequence[Any] | None) -> object:
    try:
        with connection.transaction():
            return connection.execute(sql.encode(), parameters).fetchall()
    except psycopg.Error as error:
        return error.sqlstate


@pytest.fixture(scope="module")
def connection(postgres: Server) -> Iterator[psycopg.Connection]:
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        yield connection
