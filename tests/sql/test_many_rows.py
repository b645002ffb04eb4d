"""Many changed rows are written compactly, and mean the same as changes one by one."""

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


@pytest.fixture
def filled(items: SqlStorage) -> SqlStorage:
    with items.connection() as c:
        c.executemany(INSERT, [values(number) for number in range(MANY)])
    return items


@pytest.mark.promise("sql")
def test_many_updated_and_deleted_rows_are_recorded_compactly(filled: SqlStorage, url: str) -> None:
    rows = [values(number) for number in range(MANY)]
    with filled.connection() as c:
        c.execute("UPDATE item SET name = 'new', n = n + 1 WHERE id >= 2")
    assert is_compact(url)
    new = [(id_, "new", n + 1, x) for id_, _, n, x in rows[2:]]
    pairs = zip(rows[2:], new, strict=True)
    assert changes(url)[-1] == [("item", "update", old, after) for old, after in pairs]
    with filled.connection() as c:
        c.execute("UPDATE item SET id = id + 5000 WHERE id >= 100")
    assert is_compact(url)
    check(filled, url)
    with filled.connection() as c:
        c.execute("DELETE FROM item WHERE id < 5500")
    assert is_compact(url)
    gone = changes(url)[-1]
    assert len(gone) == 500
    assert gone[2] == ("item", "delete", new[0], None)
    check(filled, url)


def test_updates_that_change_nothing_are_left_out(filled: SqlStorage, url: str) -> None:
    with filled.connection() as c:
        c.execute("UPDATE item SET n = n")
    assert len(changes(url)) == 1
    with filled.connection() as c:
        c.execute("UPDATE item SET name = ? WHERE id <> 7", (values(5)[1],))
        c.execute("UPDATE item SET name = 'seven' WHERE id = 7")
    assert len(changes(url)[-1]) == MANY - 1
    check(filled, url)


@pytest.mark.parametrize("kind", ["sqlite"])
def test_changes_of_several_kinds_keep_their_order(filled: SqlStorage, url: str) -> None:
    with filled.connection() as c:
        for number in range(50):
            c.execute("DELETE FROM item WHERE id = ?", (number,))
            c.execute("UPDATE item SET x = 1 WHERE id = ?", (number + 100,))
            c.execute('INSERT INTO "other one" VALUES (?, ?)', (f"a{number}", number))
    assert is_compact(url)
    assert [(one[0], one[1]) for one in changes(url)[-1]] == [
        ("item", "delete"),
        ("item", "update"),
        ("other one", "insert"),
    ] * 50
    check(filled, url)
    with filled.connection() as c:
        c.execute("UPDATE item SET x = 1.0 WHERE x = 1")
        c.execute("UPDATE item SET x = 'y' WHERE id >= 1000")
    assert is_compact(url)
    assert len(changes(url)[-1]) > 200
    check(filled, url)


@pytest.mark.parametrize(
    "again",
    [
        "UPDATE item SET id = 0 WHERE id = 6100",
        pytest.param("DELETE FROM item", marks=pytest.mark.slow),
    ],
)
def test_rows_that_are_changed_twice_are_recorded_one_by_one(
    filled: SqlStorage, url: str, again: str
) -> None:
    with filled.connection() as c:
        c.execute("UPDATE item SET id = id + 5000")
        c.execute(again)
    assert not is_compact(url)
    check(filled, url)


@pytest.mark.slow
def test_a_migration_may_change_many_rows_without_a_compact_form_again_and_again(
    filled: SqlStorage, migrations: Migrations, url: str, kind: str
) -> None:
    blob, value = ("BLOB", "x'00ff'") if kind == "sqlite" else ("BYTEA", "'\\x00ff'")
    steps = "".join(
        f"ALTER TABLE item ADD COLUMN b{step} {blob}; UPDATE item SET b{step} = {value};"
        for step in range(2)
    )
    filled.apply_migrations(migrations.write("2", steps))
    check(filled, url)


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
