"""The lexer against PostgreSQL itself: text without parameters reaches it unchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.examples import examples

from projections.sql.postgres._lexer import number_parameters, tokens

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from support.postgres import Server

pieces = st.sampled_from(
    ["'a?b'", "'it''s'", "E'\\'?'", '"q?"', "$$ ? ' $$", "$t$ $$ $t$", "/* ? /* ' */ */",
     "-- ' ?\n", " ", ",", "1", "||", "'%s'", "x'3F'", "U&'\\0061'", "e'\\\\'"]
)  # fmt: skip


@settings(max_examples=examples(150), deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(pieces, max_size=8).map("".join))
def test_what_is_no_parameter_reaches_the_server_as_it_was(
    connection: psycopg.Connection, sql: str
) -> None:
    assert "".join(token.text for token in tokens(sql)) == sql
    query, count = number_parameters(f"SELECT {sql}")
    assert count == 0
    with connection.transaction(force_rollback=True):
        assert ask(connection, query.replace("%", "%%"), ()) == ask(
            connection, f"SELECT {sql}", None
        )


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
