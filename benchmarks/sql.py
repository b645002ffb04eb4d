"""What capturing costs: the same SQL through ``SqlStorage`` and by the driver alone.

The floor has the same table, indexes and, on SQLite, the same pragmas; one connection that stays
open, and no log.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from itertools import count
from typing import TYPE_CHECKING, Any, Final

import psycopg

from benchmarks.measure import Contestant, Row, Setting, measure, rate_rows
from benchmarks.postgres import server
from projections.sql import SqlStorage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

TABLE: Final = (
    "CREATE TABLE item (id INTEGER PRIMARY KEY, code TEXT NOT NULL UNIQUE, amount REAL, note TEXT)"
)
INSERT: Final = "INSERT INTO item VALUES (?, ?, ?, ?)"
SIZES: Final = (1, 1_000)


async def sql_sqlite(setting: Setting) -> list[Row]:
    """Compare on SQLite."""
    plain = sqlite3.connect(setting.folder / "plain.db", isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
        plain.execute(f"PRAGMA {pragma}")
    plain.execute(TABLE)

    def transact(sql: str, rows: list[tuple[Any, ...]]) -> None:
        plain.execute("BEGIN IMMEDIATE")
        plain.executemany(sql, rows)
        plain.execute("COMMIT")

    with closing(plain):
        url = f"sqlite:///{setting.folder / 'log.db'}"
        select = plain.execute
        return await _compare(
            setting, url, "sqlite", transact, lambda s, p: select(s, p).fetchall()
        )


async def sql_postgres(setting: Setting) -> list[Row]:
    """Compare on PostgreSQL."""
    with server() as url, psycopg.connect(url, autocommit=True) as plain:
        plain.execute("CREATE SCHEMA plain; SET search_path = plain")
        plain.execute(TABLE)

        def transact(sql: str, rows: list[tuple[Any, ...]]) -> None:
            with plain.transaction(), plain.cursor() as cursor:
                cursor.executemany(sql.replace("?", "%s"), rows)

        def select(sql: str, parameters: tuple[Any, ...]) -> list[Any]:
            return plain.execute(sql.replace("?", "%s"), parameters).fetchall()

        return await _compare(setting, url, "postgres", transact, select)


async def _compare(
    setting: Setting,
    url: str,
    name: str,
    transact: Callable[[str, list[tuple[Any, ...]]], None],
    select: Callable[[str, tuple[Any, ...]], list[Any]],
) -> list[Row]:
    migrations = setting.folder / "migrations"
    migrations.mkdir()
    (migrations / "1.sql").write_text(f"{TABLE};")
    found: list[Row] = []
    with SqlStorage(url, notify="none") as storage:
        storage.apply_migrations(migrations)

        def captured(sql: str, rows: list[tuple[Any, ...]]) -> None:
            with storage.connection() as c:
                c.executemany(sql, rows)

        def read(sql: str, parameters: tuple[Any, ...]) -> list[Any]:
            with storage.connection() as c:
                return list(c.execute(sql, parameters).fetchall())

        for size in SIZES:
            times = max(2, setting.scaled(200 if size == 1 else 20))
            pair = {"captured": captured, "floor: driver": transact}
            contestants = [_writer(who, size, times, how, count(1)) for who, how in pair.items()]
            title = f"{name}, rows of {size:,} in a transaction"
            found += rate_rows(title, await measure(contestants, setting.rounds), "rows/s")
        times = setting.scaled(1_000)
        readers = [_reader("connection()", times, read), _reader("floor: driver", times, select)]
        found += rate_rows(f"{name}, reads", await measure(readers, setting.rounds), "reads/s")
        with storage.connection() as c:
            within = [
                _reader("captured", times, lambda sql, values: c.execute(sql, values).fetchall()),
                _reader("floor: driver", times, select),
            ]
            title = f"{name}, reads in one connection"
            found += rate_rows(title, await measure(within, setting.rounds), "reads/s")
    return found


_OFFSETS: Final = {1: 0, 1_000: 10_000_000}


def _writer(
    name: str,
    size: int,
    times: int,
    how: Callable[[str, list[tuple[Any, ...]]], None],
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


def _reader(name: str, times: int, how: Callable[[str, tuple[Any, ...]], list[Any]]) -> Contestant:
    def prepare() -> Callable[[], Awaitable[None]]:
        async def run() -> None:
            for number in range(times):
                how("SELECT * FROM item WHERE id = ?", (number % 100 + 1,))

        return run

    return Contestant(name, times, prepare)
