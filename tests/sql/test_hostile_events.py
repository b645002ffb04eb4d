"""Events of rows that no connection wrote: refused by their position, never applied in part."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import anyio
import psycopg
import pytest
from support.sql_databases import each_kind, tables_of
from support.sql_tables import append_unchecked, file_of, read_log

from eventstore import EventStore, InvalidInputError, NewEvent, StreamWrite
from eventstore.errors import CorruptEventError
from projections.sql import ReplayError, SqlStorage, read_rows
from projections.sql.check import check_events
from projections.sql.events import ROW_VALUE, ROWS_CHANGED, SchemaChange, schema_event

if TYPE_CHECKING:
    from support.sql_tables import Migrations

PEOPLE = "CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT UNIQUE, note TEXT);"
ROW = {"id": 1, "name": "ana", "note": None}
INSERT = {"table": "person", "op": "insert", "key": {"id": 1}, "old": None, "new": ROW}


def compact(rows: Any, **fields: Any) -> NewEvent:
    table = {"name": "person", "columns": ["id", "name", "note"], "key": [0]} | fields
    return NewEvent(ROWS_CHANGED, {"part": 1, "tables": [table], "rows": rows})


def change(**fields: Any) -> NewEvent:
    return NewEvent(ROWS_CHANGED, {"part": 1, "changes": [INSERT | fields]})


HOSTILE = {
    "the log's table": change(table="event"),
    "a table in another schema": change(table="pg_catalog.pg_class"),
    "a quoted name": change(table='person" (id) VALUES (9); --'),
    "a name with NUL": change(table="per\0son"),
    "another case": change(table="PERSON"),
    "an unknown column": change(new={**ROW, "extra": 1}),
    "a column as SQL": change(new={"id": 1, 'name") VALUES (1); --': "x", "note": None}),
    "a column with NUL": change(new={"id": 1, "na\0me": "x", "note": None}),
    "a missing column": change(new={"id": 1}),
    "no columns": change(new={}),
    "a list": change(new={**ROW, "note": [1]}),
    "a large number": change(new={**ROW, "id": 2**64}),
    "a nested value": change(new={**ROW, "note": {"a": {"b": 1}}}),
    "an unknown kind of value": change(new={**ROW, "note": {"$file": "/etc/passwd"}}),
    "no base64": change(new={**ROW, "note": {"$blob": "%%"}}),
    "no number": change(new={**ROW, "note": {"$real": "x"}}),
    "a value that is not there": change(new={**ROW, "note": {"$large": ["x"], "kind": "blob"}}),
    "an unknown operation": change(op="truncate"),
    "an insert with an old row": change(old=ROW),
    "a delete with a new row": change(op="delete"),
    "an update of nothing": change(op="update", new=None),
    "a table that is a number": change(table=7),
    "no changes": NewEvent(ROWS_CHANGED, {"part": 1}),
    "changes that are a text": NewEvent(ROWS_CHANGED, {"changes": "x"}),
    "no object": NewEvent(ROWS_CHANGED, [1]),
    "bytes": NewEvent(ROWS_CHANGED, b"\0"),
    "rows of the log's table": compact([[0, 1, "x", None]], name="event"),
    "rows of a table that is not there": compact([[0, 1, "x", None]], name="nowhere"),
    "rows beyond the tables": compact([[1, 1, "x", None]]),
    "rows before the tables": compact([[-1, 1, "x", None]]),
    "rows of no number": compact([[True, 1, "x", None]]),
    "rows of a table as a text": compact([["0", 1, "x", None]]),
    "a row that is empty": compact([[]]),
    "a short row": compact([[0, 1, "x"]]),
    "a long row": compact([[0, 1, "x", None, 4]]),
    "a row with an object": compact([[0, 1, "x", {"$blob": ""}]]),
    "a row that is an object": compact([{"0": 1}]),
    "rows with an unknown column": compact([[0, 1, "x", 1]], columns=["id", "name", "x"]),
    "rows with a column twice": compact([[0, 1, "x", 1]], columns=["id", "name", "name"]),
    "rows with a column less": compact([[0, 1, "x"]], columns=["id", "name"]),
    "rows with a key beyond": compact([[0, 1, "x", None]], key=[3]),
    "rows with a key before": compact([[0, 1, "x", None]], key=[-1]),
    "an update that is short": compact([[0, 1, "x", None, 1, "y"]], op="update"),
    "an update that is long": compact([[0, *[1, "x", None] * 3]], op="update"),
    "a deletion of two rows": compact([[0, *[1, "x", None] * 2]], op="delete"),
    "rows with an unknown op": compact([[0, 1, "x", None]], op="upsert"),
    "rows without tables": NewEvent(ROWS_CHANGED, {"part": 1, "rows": []}),
    "changes and rows": NewEvent(ROWS_CHANGED, {"changes": [], "rows": [], "tables": []}),
    "a schema without statements": NewEvent("SchemaChanged", {"migration": "x"}),
    "a schema that is bytes": NewEvent("SchemaChanged", b"CREATE TABLE x (id)"),
}


kind = each_kind()


@pytest.fixture
def people(storage: SqlStorage, migrations: Migrations) -> SqlStorage:
    storage.apply_migrations(migrations.write("1", PEOPLE))
    with storage.connection() as c:
        c.execute("INSERT INTO person (id, name) VALUES (5, 'eve')")
    return storage


@pytest.mark.slow
@pytest.mark.promise("sql")
def test_a_hostile_event_of_rows_stops_a_rebuild_at_its_position(
    people: SqlStorage, url: str
) -> None:
    before = tables_of(url)
    for name, event in HOSTILE.items():
        position = append_unchecked(url, event)
        with pytest.raises(ReplayError) as caught:
            people.rebuild()
        assert caught.value.position == position, name
        assert tables_of(url) == before, name
        anyio.run(_redact, url, position)
    people.rebuild()
    assert tables_of(url) == before


@pytest.mark.promise("sql")
def test_hostile_events_of_rows_are_found_without_a_rebuild(people: SqlStorage, url: str) -> None:
    assert anyio.run(_find, url) == []
    for name, event in HOSTILE.items():
        position = append_unchecked(url, event)
        assert anyio.run(_find, url) == [position], name
        anyio.run(_redact, url, position)


def test_a_statement_that_no_migration_may_have_is_found_without_a_rebuild(
    people: SqlStorage, url: str
) -> None:
    moment = "2026-01-01T00:00:00+00:00"
    hostile = SchemaChange("x", "", "postgres", moment, ["DROP TABLE event"], ["person"])
    position = append_unchecked(url, schema_event(hostile))
    assert anyio.run(_find, url) == [position]


NEXT = """
ALTER TABLE person ADD COLUMN age INTEGER;
ALTER TABLE person RENAME COLUMN note TO remark;
CREATE TABLE twice (id INTEGER PRIMARY KEY, n INTEGER GENERATED ALWAYS AS (id * 2) STORED);
CREATE TABLE copied (id INTEGER PRIMARY KEY, x TEXT);
ALTER TABLE copied RENAME TO renamed;
"""


def test_the_columns_of_a_change_are_those_that_the_definitions_before_it_make(
    people: SqlStorage, url: str, migrations: Migrations
) -> None:
    people.apply_migrations(migrations.write("2", NEXT))
    with people.connection() as c:
        c.execute("INSERT INTO twice (id) VALUES (1)")
        c.execute("INSERT INTO renamed VALUES (1, 'x')")
        c.execute("UPDATE person SET age = 7")
    assert anyio.run(_find, url) == []
    wrong = [
        append_unchecked(url, change()),
        append_unchecked(url, change(table="twice", key={"id": 2}, new={"id": 2, "n": 4})),
        append_unchecked(url, change(table="renamed", key={"id": 2}, new={"id": 2})),
        append_unchecked(url, change(table="copied", key={"id": 2}, new={"id": 2, "x": "y"})),
    ]
    assert anyio.run(_find, url) == wrong


def schema_change(url: str, *statements: str, tables: list[str]) -> NewEvent:
    kind = "sqlite" if url.startswith("sqlite") else "postgres"
    moment = "2026-01-01T00:00:00+00:00"
    return schema_event(SchemaChange("x", "", kind, moment, [*statements], tables))


def test_what_a_refused_definition_would_make_is_no_finding_of_its_own(
    people: SqlStorage, url: str
) -> None:
    statements = ["CREATE TABLE made (id INTEGER PRIMARY KEY)", "DROP TABLE event"]
    position = append_unchecked(url, schema_change(url, *statements, tables=["made", "person"]))
    append_unchecked(url, change(table="made", new={"id": 1}))
    later = append_unchecked(url, change(new={"id": 1}))
    assert anyio.run(_find, url) == [position, later]


def test_a_definition_that_would_compute_for_ever_is_found_and_ended(
    storage: SqlStorage, url: str, kind: str
) -> None:
    endless = """CREATE TABLE n AS WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
    SELECT i FROM n"""
    storage.open()
    position = append_unchecked(url, schema_change(url, endless, tables=[]))
    # PostgreSQL's statements are judged by their syntax, and not run.
    assert anyio.run(_find, url) == ([position] if kind == "sqlite" else [])


async def _find(url: str) -> list[int | None]:
    async with EventStore.open(url, notify="none") as store:
        return [finding.position for finding in await check_events(store)]


async def _redact(url: str, position: int) -> None:
    async with EventStore.open(url, notify="none") as store:
        await store.redact(position, "hostile")


def test_one_large_value_cannot_be_named_again_and_again(people: SqlStorage, url: str) -> None:
    piece = NewEvent(ROW_VALUE, b"x" * 1000)
    large = {"$large": [piece.id] * 100_000, "kind": "blob"}
    append_unchecked(url, piece, change(new={**ROW, "note": large}))
    with pytest.raises(ReplayError, match="no change of a row"):
        people.rebuild()
    with pytest.raises(CorruptEventError):
        list(read_rows(read_log(url)))


def test_tables_of_other_programs_are_not_taken_over_by_an_event(
    people: SqlStorage, url: str
) -> None:
    others(url, "CREATE TABLE orders (id INTEGER PRIMARY KEY, total INTEGER)")
    others(url, "INSERT INTO orders VALUES (1, 100)")
    before = tables_of(url, ["orders", "person"])
    for statements in ([], ["ALTER TABLE orders ADD COLUMN x INTEGER"], ["DROP TABLE orders"]):
        moment = "2026-01-01T00:00:00+00:00"
        kind = people.backend_name
        taken = SchemaChange("x", "", kind, moment, statements, ["person", "orders"])
        position = append_unchecked(url, schema_event(taken))
        with pytest.raises(ReplayError, match="orders"):
            people.rebuild()
        assert tables_of(url, ["orders", "person"]) == before
        assert anyio.run(_find, url) == [position]
        anyio.run(_redact, url, position)


def others(url: str, sql: str) -> None:
    """Run a statement of another program in the log's database."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(file_of(url))) as raw, raw:
            raw.execute(sql)
    else:
        with psycopg.connect(url) as connection:
            connection.execute(sql.encode())


@pytest.mark.anyio
@pytest.mark.promise("bad-input")
@pytest.mark.parametrize("stream", ["sql/main", "sql/other", "log/trims", "log/x", "consumer/w"])
async def test_streams_that_are_acted_on_are_written_by_their_own_code_only(
    url: str, stream: str
) -> None:
    events = [NewEvent("RowsChanged", {"part": 1, "changes": []})]
    async with EventStore.open(url, notify="none") as store:
        with pytest.raises(InvalidInputError, match="are written by"):
            await store.append(stream, events)
        with pytest.raises(InvalidInputError, match="are written by"):
            await store.append_many([StreamWrite("a/b", events), StreamWrite(stream, events)])
        assert (await store.head()).position == 0
