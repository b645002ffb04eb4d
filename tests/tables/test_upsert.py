"""Upserts, and keys that fit into an index, the same on every database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, create_engine, select
from support.logs import LOG_URLS

from projections import increment, upsert
from projections.tables.columns import short_key
from projections.tables.upsert import InsertIfAbsent, Upsert

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Connection

things = Table(
    "things",
    MetaData(),
    Column("key", String, primary_key=True),
    Column("first", Integer),
    Column("last", Integer),
)


@pytest.fixture(params=["sqlite", "postgresql"])
def connection(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Connection]:
    """Give a connection to a database that has the table."""
    url = LOG_URLS[request.param](tmp_path).replace("postgresql://", "postgresql+psycopg://")
    engine = create_engine(url)
    with engine.begin() as connection:
        things.create(connection)
        yield connection
    engine.dispose()


def rows(connection: Connection) -> list[tuple[object, ...]]:
    return [tuple(row) for row in connection.execute(select(things).order_by(things.c.key))]


def test_a_known_key_takes_every_column_or_those_that_are_named(connection: Connection) -> None:
    Upsert(things, ["key"]).execute(connection, {"key": "a", "first": 1, "last": 1})
    Upsert(things, ["key"]).execute(connection, {"key": "a", "first": 2, "last": 2})
    assert rows(connection) == [("a", 2, 2)]
    named = Upsert(things, ["key"], update=["last"])
    named.execute(
        connection, [{"key": key, "first": 3, "last": last} for key, last in (("a", 3), ("b", 4))]
    )
    assert rows(connection) == [("a", 2, 3), ("b", 3, 4)]


def test_a_condition_keeps_the_row_that_is_there(connection: Connection) -> None:
    newer = Upsert(things, ["key"], where=lambda new: new.last > things.c.last)
    for last in (5, 4, 6, 1):
        newer.execute(connection, {"key": "a", "first": 0, "last": last})
    assert rows(connection) == [("a", 0, 6)]


def test_a_row_is_stored_by_its_key_and_keeps_what_is_not_named(connection: Connection) -> None:
    upsert(connection, things, {"key": "a"}, {"first": 1})
    upsert(connection, things, {"key": "a"}, {"last": 2})
    upsert(connection, things, {"key": "a"}, {"last": 3})
    upsert(connection, things, {"key": "b"}, {})
    upsert(connection, things, {"key": "a"}, {})
    assert rows(connection) == [("a", 1, 3), ("b", None, None)]


def test_numbers_are_added_to_those_that_are_there(connection: Connection) -> None:
    for amount in (2, 3, -1):
        increment(connection, things, {"key": "a"}, {"first": amount})
    increment(connection, things, {"key": "a"}, {"first": 10, "last": 20})  # last was NULL.
    increment(connection, things, {"key": "b"}, {})
    assert rows(connection) == [("a", 14, 20), ("b", None, None)]


def test_only_the_rows_that_were_inserted_are_returned(connection: Connection) -> None:
    insert = InsertIfAbsent(things, ["key"], returning=things.c.key)
    new = [{"key": key, "first": 1, "last": 1} for key in "ab"]
    assert sorted(insert.execute(connection, new).scalars()) == ["a", "b"]
    again = [{"key": key, "first": 2, "last": 2} for key in "bc"]
    assert list(insert.execute(connection, again).scalars()) == ["c"]
    assert rows(connection) == [("a", 1, 1), ("b", 1, 1), ("c", 2, 2)]


def test_a_long_key_is_short_and_still_its_own() -> None:
    assert short_key("a" * 10, 10, 4) == "a" * 10
    first, second = (short_key("é" * 6 + end, 10, 5) for end in "xy")
    assert first.startswith("éé…")
    assert first != second
    assert len(first.encode()) == len("éé…".encode()) + 64


def test_rows_for_the_driver_are_those_of_sqlalchemy(connection: Connection) -> None:
    upsert = Upsert(things, ["key"])
    upsert.execute(connection, {"key": "k-1", "first": 0, "last": 0})
    keys = [f"k-{number % 70}" for number in range(150)]
    queries = upsert.queries([{"key": key, "first": n, "last": -n} for n, key in enumerate(keys)])
    assert [len(values) for _, values in queries] == [3 * 64, 3 * 4, 3 * 2]
    for sql, values in queries:
        text = sql if connection.dialect.name == "sqlite" else sql.replace("?", "%s")
        connection.exec_driver_sql(text, tuple(values))
    newest = {key: (key, n, -n) for n, key in enumerate(keys)}
    assert rows(connection) == [newest[key] for key in sorted(newest)]


def test_plain_rows_are_stored_as_by_sqlalchemy(connection: Connection) -> None:
    upsert = Upsert(things, ["key"])
    upsert.execute(connection, {"key": "k-1", "first": 0, "last": 0})
    keys = ("k-1", "k-2", "k-1")
    new = [{"last": n, "key": key, "first": None} for n, key in enumerate(keys)]
    upsert.execute_plain(connection, new)
    assert rows(connection) == [("k-1", None, 2), ("k-2", None, 1)]


def test_rows_for_the_driver_are_refused_where_sqlalchemys_are(connection: Connection) -> None:
    with pytest.raises(ValueError, match="NUL"):
        Upsert(things, ["key"]).queries([{"key": "a\0", "first": 1, "last": 1}])
    with pytest.raises(NotImplementedError):
        Upsert(things, ["key"], add=True).queries([{"key": "a", "first": 1, "last": 1}])
    with pytest.raises(NotImplementedError):
        Upsert(things, ["key"], add=True).execute_plain(connection, [])
