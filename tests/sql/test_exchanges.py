"""How often a transaction on PostgreSQL waits for the server, and what fails in between."""

from __future__ import annotations

import re
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
from support.sql_databases import computed_tables, tables_of
from support.sql_tables import changes

from projections.sql import SqlStorage

if TYPE_CHECKING:
    from pathlib import Path

    from support.sql_tables import Migrations

KIND = "postgres"
TABLE = "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT UNIQUE);"
INSERT = "INSERT INTO item VALUES (?, ?)"


@pytest.fixture
def items(storage: SqlStorage, migrations: Migrations) -> SqlStorage:
    storage.apply_migrations(migrations.write("1", TABLE))
    return storage


def session_of(connection: Any) -> Any:
    return connection._transaction.raw


def test_a_transaction_of_one_row_takes_four_exchanges(items: SqlStorage, tmp_path: Path) -> None:
    for number in range(10):
        with items.connection() as c:
            c.execute(INSERT, (number, f"n{number}"))
    with (tmp_path / "sent").open("w") as file, items.connection() as c:
        session = session_of(c)
        session.pgconn.trace(file.fileno())
        c.execute(INSERT, (10, "n10"))
        c.commit()
        session.pgconn.untrace()
    sent = re.findall(r"\bF\t\d+\t(\w+)", (tmp_path / "sent").read_text())
    assert sum(kind in {"Sync", "Query"} for kind in sent) == 4


def test_a_first_statement_that_fails_leaves_its_transaction_open(
    items: SqlStorage, url: str
) -> None:
    with items.connection() as c:
        c.execute(INSERT, (1, "one"))
    with items.connection() as c:
        with pytest.raises(sqlite3.IntegrityError):
            c.execute(INSERT, (1, "again"))
        assert c.in_transaction
        with pytest.raises(sqlite3.OperationalError, match="does not exist"):
            c.execute("UPDATE item SET nothing = 1")
        c.execute(INSERT, (2, "two"))
    assert [[one[3] for one in commit] for commit in changes(url)] == [[(1, "one")], [(2, "two")]]
    with items.connection() as c, pytest.raises(sqlite3.IntegrityError):
        c.execute(INSERT, (1, "again"))
    assert len(changes(url)) == 2


def test_writers_in_turn_record_behind_each_other(items: SqlStorage, url: str) -> None:
    with SqlStorage(url) as other:
        for number in range(24):
            with (items, other)[number % 3 == 0].connection() as c:
                c.execute(INSERT, (number, f"n{number}"))
    assert [commit[0][3][0] for commit in changes(url)] == list(range(24))
    assert computed_tables(url) == tables_of(url)
