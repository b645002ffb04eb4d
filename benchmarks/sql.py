"""What capturing costs: the same SQL through ``SqlStorage`` and by the driver alone.

The floor has the same table, indexes and, on SQLite, the same pragmas; one connection that stays
open, or one for each transaction, as programs that speak SQL themselves have; and no log.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import psycopg

from benchmarks.measure import Contestant, Row, Setting, measure, rate_rows
from benchmarks.postgres import server
from benchmarks.sql_million import INSERT, TABLE
from projections.sql import SqlStorage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

SIZES: Final = (1, 1_000)
PRAGMAS: Final = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON")
Rows: TypeAlias = "list[tuple[Any, ...]]"


class Floor(NamedTuple):
    """The driver alone."""

    transact: Callable[[str, Rows], None]
    transact_alone: Callable[[str, Rows], None]
    """The same on a connection of its own."""
    select: Callable[[str, tuple[Any, ...]], list[Any]]


async def sql_sqlite(setting: Setting) -> list[Row]:
    """Compare on SQLite."""

    def connect() -> sqlite3.Connection:
        made = sqlite3.connect(setting.folder / "plain.db", isolation_level=None)
        for pragma in PRAGMAS:
            made.execute(f"PRAGMA {pragma}")
        return made

    def transact(connection: sqlite3.Connection, sql: str, rows: Rows) -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(sql, rows)
        connection.execute("COMMIT")

    def transact_alone(sql: str, rows: Rows) -> None:
        with closing(connect()) as connection:
            transact(connection, sql, rows)

    with closing(connect()) as plain:
        plain.execute(TABLE)
        floor = Floor(
            partial(transact, plain),
            transact_alone,
            lambda sql, parameters: plain.execute(sql, parameters).fetchall(),
        )
        return await _compare(setting, f"sqlite:///{setting.folder / 'log.db'}", "sqlite", floor)


async def sql_postgres(setting: Setting) -> list[Row]:
    """Compare on PostgreSQL."""
    with server() as url, psycopg.connect(url, autocommit=True) as plain:
        plain.execute("CREATE SCHEMA plain; SET search_path = plain")
        plain.execute(TABLE)

        def transact(connection: psycopg.Connection[Any], sql: str, rows: Rows) -> None:
            with connection.transaction(), connection.cursor() as cursor:
                cursor.executemany(sql.replace("?", "%s"), rows)

        def transact_alone(sql: str, rows: Rows) -> None:
            with psycopg.connect(url, options="-csearch_path=plain") as connection:
                transact(connection, sql, rows)

        def select(sql: str, parameters: tuple[Any, ...]) -> list[Any]:
            return plain.execute(sql.replace("?", "%s"), parameters).fetchall()

        floor = Floor(partial(transact, plain), transact_alone, select)
        return await _compare(setting, url, "postgres", floor)


async def _compare(setting: Setting, url: str, name: str, floor: Floor) -> list[Row]:
    migrations = setting.folder / "migrations"
    migrations.mkdir()
    (migrations / "1.sql").write_text(f"{TABLE};")
    found: list[Row] = []
    with SqlStorage(url, notify="none") as storage:
        storage.apply_migrations(migrations)

        def captured(sql: str, rows: Rows) -> None:
            with storage.connection() as c:
                c.executemany(sql, rows)

        def read(sql: str, parameters: tuple[Any, ...]) -> list[Any]:
            with storage.connection() as c:
                return list(c.execute(sql, parameters).fetchall())

        for size in SIZES:
            times = max(2, setting.scaled(200 if size == 1 else 20))
            ways = {"captured": captured, "floor: driver": floor.transact}
            if size == 1:
                # The same table as the floor's: other ids.
                ways["driver, a connection for each"] = floor.transact_alone
            contestants = [
                _writer(who, size, times, how, count(1 + place * _APART))
                for place, (who, how) in enumerate(ways.items())
            ]
            title = f"{name}, rows of {size:,} in a transaction"
            found += rate_rows(title, await measure(contestants, setting.rounds), "rows/s")
        times = setting.scaled(1_000)
        readers = [
            _reader("connection()", times, read),
            _reader("floor: driver", times, floor.select, _APART),
        ]
        found += rate_rows(f"{name}, reads", await measure(readers, setting.rounds), "reads/s")
        with storage.connection() as c:
            within = [
                _reader("captured", times, lambda sql, values: c.execute(sql, values).fetchall()),
                _reader("floor: driver", times, floor.select, _APART),
            ]
            title = f"{name}, reads in one connection"
            found += rate_rows(title, await measure(within, setting.rounds), "reads/s")
    return found


_OFFSETS: Final = {1: 0, 1_000: 10_000_000}
_APART: Final = 1_000_000
"""Between the ids of one way to write and those of the next."""

_READ: Final = 50
"""Rows that are read; so many have been written one by one, by each way."""


def _writer(
    name: str,
    size: int,
    times: int,
    how: Callable[[str, Rows], None],
    numbers: count[int],
) -> Contestant:
    def prepare() -> Callable[[], Awaitable[None]]:
        batches = []
        for _ in range(times):
            ids = [_OFFSETS[size] + next(numbers) for _ in range(size)]
            batches.append([(i, f"code-{i}", i / 7, "some note of a few words") for i in ids])

        async def run() -> None:
            for rows in batches:
                how(INSERT, rows)

        return run

    return Contestant(name, times * size, prepare)


def _reader(
    name: str, times: int, how: Callable[[str, tuple[Any, ...]], list[Any]], before: int = 0
) -> Contestant:
    """Read rows that are there, the first of which has the id after ``before``."""

    def prepare() -> Callable[[], Awaitable[None]]:
        async def run() -> None:
            for number in range(times):
                [_] = how("SELECT * FROM item WHERE id = ?", (before + number % _READ + 1,))

        return run

    return Contestant(name, times, prepare)
