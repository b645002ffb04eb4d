"""The registry beside a plain table with the same columns: one call at a time, and lists.

The floor is what a program would have without a log: one durable transaction per registration that
writes its row and its metadata, by the driver, and the same statements for reading.
"""

from __future__ import annotations

import random
import sqlite3
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import msgspec
import psycopg

from benchmarks.measure import Row, Setting, latency_rows
from benchmarks.postgres import server
from eventstore import NewEvent, StreamWrite
from eventstore.log.clock import from_microseconds
from projections.registry import Registry
from projections.registry.events import BOT_REGISTERED, bot_stream
from projections.registry.model import stored_registration
from projections.registry.tables import metadata_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from projections.registry import Registration

BOTS: Final = 1_000_000
LIST: Final = 10_000
FILL: Final = 2_000
COLUMNS: Final = (
    "key TEXT PRIMARY KEY, status TEXT, body TEXT, created_us BIGINT, updated_us BIGINT, "
    "first_position BIGINT, position BIGINT, version BIGINT"
)

SELECT: Final = "SELECT status, body, created_us, updated_us FROM plain"
INSERT: Final = "INSERT INTO plain VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
UPSERT: Final = (
    f"{INSERT} ON CONFLICT (key) DO UPDATE SET status = excluded.status, body = excluded.body, "
    "updated_us = excluded.updated_us, position = excluded.position, version = excluded.version"
)
INSERT_META: Final = "INSERT INTO plain_meta VALUES (?, ?, ?)"


def bot(number: int) -> dict[str, Any]:
    """Return a registration of about 300 bytes of JSON; a hundred of 10,000 share a team."""
    return {
        "bot_id": f"bot-{number:06d}",
        "config": {"model": "large", "prompt": "Be brief. " * 15, "number": number},
        "status": "active",
        "metadata": {"team": f"team-{number % 100}", "even": number % 2 == 0},
    }


class Plain:
    """The floor: two tables, one durable commit for each registration, no history."""

    def __init__(
        self,
        execute: Callable[[str, Sequence[Any]], list[Any]],
        executemany: Callable[[str, Iterable[Sequence[Any]]], object],
    ) -> None:
        self._execute, self._executemany = execute, executemany
        execute(f"CREATE TABLE plain ({COLUMNS})", ())
        execute("CREATE INDEX plain_first ON plain (first_position)", ())
        execute("CREATE TABLE plain_meta (key TEXT, name TEXT, value TEXT, "
                "PRIMARY KEY (key, name))", ())  # fmt: skip
        execute("CREATE INDEX plain_value ON plain_meta (value, key)", ())

    def fill(self, count: int) -> None:
        """Write all in one transaction."""
        self._execute("BEGIN", ())
        for start in range(0, count, FILL):
            bots = [(number, bot(number)) for number in range(start, start + FILL)]
            self._executemany(INSERT, (_row(number, one) for number, one in bots))
            self._executemany(INSERT_META, [meta for _, one in bots for meta in _meta(one)])
        self._execute("COMMIT", ())

    def write(self, number: int) -> None:
        """Write one, durably."""
        one = bot(number)
        self._execute("BEGIN", ())
        self._execute(UPSERT, _row(number, one))
        self._execute("DELETE FROM plain_meta WHERE key = ?", (one["bot_id"],))
        for meta in _meta(one):
            self._execute(INSERT_META, meta)
        self._execute("COMMIT", ())

    def read(self, number: int) -> Any:
        """Read one."""
        return self._found(f"{SELECT} WHERE key = ?", f"bot-{number:06d}")

    def newest(self, limit: int = LIST) -> Any:
        """List 10,000, or so many."""
        return self._found(f"{SELECT} ORDER BY first_position LIMIT ?", limit)

    def of_team(self, team: str, limit: int = 50) -> Any:
        """List the first fifty of a team, or so many."""
        return self._found(
            f"{SELECT} WHERE key IN (SELECT key FROM plain_meta WHERE value = ?) "
            "ORDER BY first_position LIMIT ?",
            metadata_digest("team", team),
            limit,
        )

    def count(self, team: str) -> Any:
        """Count a team."""
        sql = "SELECT count(*) FROM plain_meta WHERE value = ?"
        return self._execute(sql, (metadata_digest("team", team),))

    def _found(self, sql: str, *values: Any) -> list[Registration]:
        """Return what a program works with, as the registry does."""
        return [_registration(*row) for row in self._execute(sql, values)]


def _registration(status: str, body: str, created_us: int, updated_us: int) -> Registration:
    one, created = msgspec.json.decode(body), from_microseconds(created_us)
    return stored_registration(
        one["bot_id"],
        one["config"],
        status,  # type: ignore[arg-type]
        one["metadata"],
        created,
        from_microseconds(updated_us),
        created,
    )


def _row(number: int, one: dict[str, Any]) -> tuple[Any, ...]:
    return (one["bot_id"], "active", msgspec.json.encode(one).decode(), 1, 1, number, number, 1)


def _meta(one: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [
        (one["bot_id"], metadata_digest(k), metadata_digest(k, v))
        for k, v in one["metadata"].items()
    ]


def plain_sqlite(path: str) -> Plain:
    """Return tables in a file, as durable as the log."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    return Plain(
        lambda sql, values: connection.execute(sql, values).fetchall(), connection.executemany
    )


def plain_postgres(url: str) -> Plain:
    """Return tables in a database."""
    connection = psycopg.connect(url, autocommit=True)

    def execute(sql: str, values: Sequence[Any]) -> list[Any]:
        cursor = connection.execute(sql.replace("?", "%s").encode(), values or None)
        return cursor.fetchall() if cursor.description else []

    def executemany(sql: str, rows: Iterable[Sequence[Any]]) -> None:
        connection.cursor().executemany(sql.replace("?", "%s").encode(), rows)

    return Plain(execute, executemany)


@contextmanager
def places(setting: Setting) -> Iterator[dict[str, tuple[str, Plain]]]:
    """Give a log of each kind, and its floor."""
    with server() as url, server() as other:
        yield {
            "SQLite": (
                f"sqlite:///{setting.folder}/bots.db",
                plain_sqlite(f"{setting.folder}/plain.db"),
            ),
            "PostgreSQL": (url, plain_postgres(other)),
        }


async def registry(setting: Setting) -> list[Row]:
    """Write, read, list 10,000, filter and count a million, each beside a plain table: ms."""
    rows: list[Row] = []
    with places(setting) as found:
        for kind, (url, plain) in found.items():
            async with Registry(url) as ours:
                count = BOTS // 10 if setting.quick else BOTS
                rate = await fill(ours, count)
                plain.fill(count)
                rows.append(Row(f"{kind}: filling, many to a commit", "ours", "bots/s", rate, rate))
                for name, samples in (await _samples(ours, plain, count, setting)).items():
                    rows += latency_rows(f"{kind}: {name}", samples)
    return rows


async def fill(ours: Registry, count: int) -> float:
    """Register many bots, 2,000 to a commit; return bots/s."""
    began = time.perf_counter()
    for start in range(0, count, FILL):
        await ours.log.append_many(
            StreamWrite(bot_stream(one["bot_id"]), [NewEvent(BOT_REGISTERED, one)])
            for one in map(bot, range(start, start + FILL))
        )
    return count / (time.perf_counter() - began)


async def _samples(
    ours: Registry, plain: Plain, count: int, setting: Setting
) -> dict[str, dict[str, list[float]]]:
    async def write(number: int) -> None:
        one = bot(number)
        await ours.register(one["bot_id"], one["config"], metadata=one["metadata"])

    def team(number: int) -> dict[str, Any]:
        return {"team": f"team-{number % 100}"}

    works: dict[str, tuple[Callable[[int], Any], Callable[[int], Any], int]] = {
        "write": (write, plain.write, 1),
        "read by id": (lambda n: ours.get(f"bot-{n:06d}"), plain.read, 1),
        "list of 10,000": (lambda _: ours.list_all(limit=LIST), lambda _: plain.newest(), 20),
        f"50 by metadata of {count:,}": (
            lambda n: ours.list_all(metadata=team(n), limit=50),
            lambda n: plain.of_team(f"team-{n % 100}"),
            4,
        ),
        f"count by metadata of {count:,}": (
            lambda n: ours.count_all(metadata=team(n)),
            lambda n: plain.count(f"team-{n % 100}"),
            4,
        ),
    }
    numbers = random.Random(1).choices(range(count), k=60 if setting.quick else 300)
    samples: dict[str, dict[str, list[float]]] = {}
    for name, (mine, floor, fewer) in works.items():
        taken: dict[str, list[float]] = {"ours": [], "plain": []}
        for number in numbers[: max(5, len(numbers) // fewer)]:
            began = time.perf_counter_ns()
            await mine(number)
            between = time.perf_counter_ns()
            floor(number)
            taken["ours"].append((between - began) / 1e6)
            taken["plain"].append((time.perf_counter_ns() - between) / 1e6)
        samples[name] = taken
    return samples
