"""Capture of what SQLite itself does to rows: REPLACE, upserts, cascades and triggers."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

import pytest
from support.sql_tables import assert_computed, changes

if TYPE_CHECKING:
    from support.sql_tables import Migrations

    from projections.sql import SqlStorage

SCHEMA = """
CREATE TABLE t (id INTEGER PRIMARY KEY, u TEXT UNIQUE COLLATE NOCASE, v);
CREATE TABLE low (id INTEGER PRIMARY KEY, v TEXT);
CREATE UNIQUE INDEX low_v ON low (v COLLATE NOCASE);
CREATE TABLE w (a, b, v UNIQUE ON CONFLICT REPLACE, PRIMARY KEY (a, b)) WITHOUT ROWID;
CREATE TABLE k (k TEXT PRIMARY KEY, n INTEGER);
CREATE UNIQUE INDEX some ON k (n) WHERE n > 10;
CREATE TABLE child (
    id INTEGER PRIMARY KEY, k TEXT REFERENCES k ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE TABLE tree (id INTEGER PRIMARY KEY, up REFERENCES tree ON UPDATE CASCADE);
CREATE TABLE hit (id INTEGER PRIMARY KEY, n);
CREATE TABLE moved (id INTEGER PRIMARY KEY, v);
CREATE TRIGGER hit_new AFTER INSERT ON hit BEGIN UPDATE hit SET n = n + 1 WHERE id = NEW.id; END;
CREATE TRIGGER moved_away BEFORE INSERT ON moved BEGIN
    UPDATE moved SET v = v || '!' WHERE id = NEW.id;
END;
INSERT INTO t VALUES (1, 'a', 1), (2, 'b', 2);
INSERT INTO low VALUES (1, 'a');
INSERT INTO w VALUES (1, 1, 1), (2, 2, 2);
INSERT INTO k VALUES ('x', 11), ('y', 1), ('z', 1);
INSERT INTO child VALUES (1, 'x'), (2, 'y');
INSERT INTO tree VALUES (1, 1), (2, 1);
INSERT INTO hit VALUES (1, 0);
INSERT INTO moved VALUES (1, 'm');
"""

CASES: list[tuple[str, list[tuple[Any, ...]]]] = [
    ("INSERT OR REPLACE INTO t VALUES (1, 'B', 9)",
     [("t", "delete", (2, "b", 2), None), ("t", "delete", (1, "a", 1), None),
      ("t", "insert", None, (1, "B", 9))]),
    ("INSERT OR IGNORE INTO t VALUES (1, 'B', 9)", []),
    ("UPDATE OR REPLACE t SET u = 'B' WHERE id = 1",
     [("t", "delete", (2, "b", 2), None), ("t", "update", (1, "a", 1), (1, "B", 1))]),
    ("UPDATE OR REPLACE t SET id = 2 WHERE id = 1",
     [("t", "delete", (2, "b", 2), None), ("t", "update", (1, "a", 1), (2, "a", 1))]),
    ("UPDATE OR IGNORE t SET u = 'b', v = 9", [("t", "update", (2, "b", 2), (2, "b", 9))]),
    ("INSERT INTO t VALUES (1, 'c', 3) ON CONFLICT (id) DO UPDATE SET v = excluded.v",
     [("t", "update", (1, "a", 1), (1, "a", 3))]),
    ("INSERT INTO t VALUES (1, 'c', 3) ON CONFLICT DO NOTHING", []),
    ("UPDATE t SET id = -id",
     [("t", "update", (1, "a", 1), (-1, "a", 1)), ("t", "update", (2, "b", 2), (-2, "b", 2))]),
    ("INSERT OR REPLACE INTO low VALUES (2, 'A')",
     [("low", "delete", (1, "a"), None), ("low", "insert", None, (2, "A"))]),
    ("INSERT INTO w VALUES (3, 3, 2)",
     [("w", "delete", (2, 2, 2), None), ("w", "insert", None, (3, 3, 2))]),
    ("UPDATE w SET v = 1 WHERE a = 2",
     [("w", "delete", (1, 1, 1), None), ("w", "update", (2, 2, 2), (2, 2, 1))]),
    ("INSERT OR REPLACE INTO k (rowid, k, n) VALUES (2, 'new', 3)",
     [("k", "delete", ("y", 1), None), ("child", "delete", (2, "y"), None),
      ("k", "insert", None, ("new", 3))]),
    ("INSERT OR REPLACE INTO k VALUES ('q', 11), ('r', 1)",
     [("k", "delete", ("x", 11), None), ("child", "delete", (1, "x"), None),
      ("k", "insert", None, ("q", 11)), ("k", "insert", None, ("r", 1))]),
    ("UPDATE k SET k = 'xx' WHERE k = 'x'",
     [("child", "update", (1, "x"), (1, "xx")), ("k", "update", ("x", 11), ("xx", 11))]),
    ("DELETE FROM k WHERE n = 1 AND k < 'z'",
     [("child", "delete", (2, "y"), None), ("k", "delete", ("y", 1), None)]),
    ("INSERT INTO hit VALUES (2, 5)",
     [("hit", "insert", None, (2, 5)), ("hit", "update", (2, 5), (2, 6))]),
    ("INSERT OR REPLACE INTO moved VALUES (1, 'n')",
     [("moved", "update", (1, "m"), (1, "m!")), ("moved", "delete", (1, "m!"), None),
      ("moved", "insert", None, (1, "n"))]),
]  # fmt: skip


@pytest.fixture
def tables(storage: SqlStorage, migrations: Migrations) -> SqlStorage:
    storage.apply_migrations(migrations.write("1", SCHEMA))
    return storage


@pytest.mark.promise("sql")
@pytest.mark.parametrize(("sql", "expected"), CASES, ids=[sql for sql, _ in CASES])
def test_each_row_that_a_statement_touches_is_captured(
    tables: SqlStorage, url: str, sql: str, expected: list[tuple[Any, ...]]
) -> None:
    with tables.connection() as c:
        c.execute(sql)
    assert list(chain(*changes(url)[1:])) == expected
    assert_computed(url)


def test_a_row_that_a_cascade_changes_in_the_midst_of_its_own_change_is_right_in_the_end(
    tables: SqlStorage, url: str
) -> None:
    with tables.connection() as c:
        c.execute("UPDATE tree SET id = 5 WHERE id = 1")
        assert c.execute("SELECT up FROM tree ORDER BY id").fetchall()[1][0] == 5
    assert_computed(url)


def test_rows_that_are_replaced_again_are_deleted_once_each(tables: SqlStorage, url: str) -> None:
    with tables.connection() as c:
        for sql in (
            "INSERT OR IGNORE INTO t VALUES (1, 'z', 0)",
            "INSERT OR REPLACE INTO t VALUES (1, 'c', 1)",
            "INSERT OR IGNORE INTO t VALUES (1, 'z', 0)",
            "DELETE FROM t WHERE id = 1",
            "INSERT INTO t VALUES (1, 'd', 1)",
        ):
            c.execute(sql)
    ops = [(op, (new or old)[1]) for _, op, old, new in changes(url)[1]]
    assert ops == [
        ("delete", "a"), ("insert", "c"), ("delete", "c"), ("insert", "d"),
    ]  # fmt: skip
