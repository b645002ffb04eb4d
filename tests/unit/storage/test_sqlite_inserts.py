"""Rows that one statement inserts on SQLite, with values that they share and without."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from eventstore.storage.sqlite._driver import FEW_ROWS, SqliteDriver
from eventstore.storage.sqlite.connection import SqliteConnection, connect

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.unit

Rows = list[tuple[Any, ...]]


@pytest.fixture
def driver() -> Iterator[SqliteDriver]:
    connection = SqliteConnection(connect(None))
    driver = SqliteDriver(connection)
    driver.run("CREATE TABLE t (a INTEGER, b VARCHAR, c BLOB)")
    yield driver
    connection.close()


def inserted(driver: SqliteDriver, rows: Rows) -> Rows:
    driver.insert("INSERT INTO t (a, b, c) VALUES", rows)
    return driver.rows("SELECT a, b, c FROM t ORDER BY rowid")


@pytest.mark.parametrize("count", [1, FEW_ROWS - 1, FEW_ROWS, 64, 65, 200])
def test_values_that_all_rows_share_are_in_each_of_them(driver: SqliteDriver, count: int) -> None:
    rows: Rows = [(number, "same", b"") for number in range(count)]
    assert inserted(driver, rows) == rows


def test_a_value_that_only_the_ends_share_is_not_in_the_rows_between(driver: SqliteDriver) -> None:
    rows: Rows = [(7, "same", number.to_bytes(2)) for number in range(64)]
    rows[1:-1] = [(number, f"other {number}", None) for number in range(62)]
    assert inserted(driver, rows) == rows


def test_rows_that_are_all_alike_and_rows_without_a_value_are_stored(driver: SqliteDriver) -> None:
    rows: Rows = [(None, None, None)] * 64
    assert inserted(driver, rows) == rows


def test_each_column_may_be_the_shared_one(driver: SqliteDriver) -> None:
    rows: Rows = []
    for shared in range(3):
        part = [(number, str(number), number.to_bytes(2)) for number in range(64)]
        rows += [tuple((part[0] if at == shared else row)[at] for at in range(3)) for row in part]
    assert inserted(driver, rows) == rows
