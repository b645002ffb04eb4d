"""Many inserted rows are written compactly, and mean the same as changes one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.sql_databases import computed_tables, each_kind, tables_of
from support.sql_tables import changes, read_log

from projections.sql._compact import MANY_ROWS

if TYPE_CHECKING:
    from support.sql_tables import Migrations

    from projections.sql import SqlStorage

kind = each_kind()

TABLES = {
    "sqlite": """CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, n REAL, x,
        twice INTEGER GENERATED ALWAYS AS (id * 2) STORED);
    CREATE TABLE "other one" (a TEXT, b INTEGER, PRIMARY KEY (b, a));""",
    "postgres": """CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, n DOUBLE PRECISION, x TEXT,
        twice INTEGER GENERATED ALWAYS AS (id * 2) STORED);
    CREATE TABLE "other one" (a TEXT, b BIGINT, PRIMARY KEY (b, a));""",
}
INSERT = "INSERT INTO item (id, name, n, x) VALUES (?, ?, ?, ?)"
MANY = 1200
"""More than are read at once, on either database."""


def values(number: int) -> tuple[Any, ...]:
    return number, f"é{number}\n\"'", number / 7 - 30, None if number % 3 else str(number)


@pytest.fixture
def items(storage: SqlStorage, migrations: Migrations, kind: str) -> SqlStorage:
    storage.apply_migrations(migrations.write("1", TABLES[kind]))
    return storage


def check(storage: SqlStorage, url: str) -> None:
    before = tables_of(url)
    assert computed_tables(url) == before
    storage.rebuild()
    assert tables_of(url) == before


def is_compact(url: str) -> bool:
    return "rows" in read_log(url)[-1].data


@pytest.mark.promise("sql")
def test_many_inserted_rows_are_recorded_compactly(items: SqlStorage, url: str) -> None:
    with items.connection() as c:
        c.executemany(INSERT, [values(number) for number in range(MANY)])
    assert is_compact(url)
    (found,) = changes(url)
    assert found == [("item", "insert", None, values(number)) for number in range(MANY)]
    check(items, url)


def test_rows_of_several_tables_keep_their_order(items: SqlStorage, url: str) -> None:
    with items.connection() as c:
        for number in range(MANY // 2):
            c.execute(INSERT, values(number))
            c.execute('INSERT INTO "other one" VALUES (?, ?)', (f"a{number}", 2**62 + number))
    (found,) = changes(url)
    assert [one[0] for one in found[:4]] == ["item", "other one"] * 2
    assert len(found) == MANY
    check(items, url)


@pytest.mark.parametrize("kind", ["sqlite"])
@pytest.mark.parametrize(
    "last",
    [
        "INSERT INTO item (id, n) VALUES (5000, 9e999)",
        "INSERT INTO item (id, name) VALUES (5000, CAST(x'41ff' AS TEXT))",
        "INSERT INTO item (id, x) VALUES (5000, x'00ff')",
        "UPDATE item SET name = 'last' WHERE id = 1",
        "DELETE FROM item WHERE id = 2",
        "INSERT OR REPLACE INTO item (id, name) VALUES (3, 'again')",
    ],
)
def test_what_has_no_compact_form_is_recorded_one_by_one(
    items: SqlStorage, url: str, last: str
) -> None:
    with items.connection() as c:
        c.executemany(INSERT, [values(number) for number in range(MANY_ROWS)])
        c.execute(last)
    assert not is_compact(url)
    check(items, url)


def test_few_rows_are_recorded_as_before(items: SqlStorage, url: str) -> None:
    with items.connection() as c:
        c.executemany(INSERT, [values(number) for number in range(MANY_ROWS - 1)])
    assert not is_compact(url)
    assert len(changes(url)[0]) == MANY_ROWS - 1


def test_a_caller_may_say_what_the_storage_says_itself(items: SqlStorage, url: str) -> None:
    with items.connection() as c:
        for number in range(3):
            c.execute(INSERT, values(number))
            c.execute("COMMIT")
            c.execute(INSERT, values(number + 10))
            c.commit()
    assert len(changes(url)) == 6
