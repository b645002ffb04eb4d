"""Memories: one call at a time, and threads, beside a plain table with the same columns."""

from __future__ import annotations

import itertools
import os
import random
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import msgspec
import psycopg

from benchmarks.measure import Row, Setting, latency_rows
from benchmarks.postgres import server
from eventstore import EventStore, NewEvent, StreamWrite
from projections.memories import Memory, MemoryStore, MemoryTables, Namespace
from projections.memories.events import MEMORIES, MEMORY_STORED, decode_memory, encode_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

COUNT: Final = 10_000
BATCH: Final = 100
FLOATS: Final = 1_536
"""Numbers in a memory's embedding."""
THREADS: Final = 16

COLUMNS: Final = (
    "id TEXT PRIMARY KEY, namespace TEXT, status TEXT, project_id TEXT, "
    "created_at DOUBLE PRECISION, updated_at DOUBLE PRECISION, expires_at DOUBLE PRECISION, "
    "memory TEXT, version BIGINT, position BIGINT"
)
UPSERT: Final = (
    "INSERT INTO plain VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1, 1) ON CONFLICT (id) DO UPDATE SET "
    "namespace = excluded.namespace, status = excluded.status, project_id = excluded.project_id, "
    "created_at = excluded.created_at, updated_at = excluded.updated_at, "
    "expires_at = excluded.expires_at, memory = excluded.memory"
)


_turns: Final = itertools.count()


def memory(number: int, floats: int = 0) -> Memory:
    """Return a memory of about 600 bytes of JSON, and 20 more for each of ``floats``.

    No two are equal: SQLite writes nothing, and waits for no disk, where a row stays as it is.
    """
    numbers = [random.uniform(-1, 1) for _ in range(floats)] or None
    return Memory(
        f"memory-{number:06d}",
        f"What was learned in step {number}. " * 8,
        Namespace.LEARNINGS,
        tags=["one", "two"],
        created_at=1_700_000_000.5,
        updated_at=1_700_000_000.5 + next(_turns),
        embedding=numbers,
    )


class Plain:
    """The floor: one table, one durable commit for each write, no history."""

    def __init__(self, execute: Callable[[str, Sequence[Any]], list[Any]], among: str) -> None:
        self._execute = execute
        self._among = among
        execute(f"CREATE TABLE plain ({COLUMNS})", ())

    def store(self, one: Memory) -> None:
        """Write one row."""
        text = msgspec.json.encode(encode_memory(one)).decode()
        times = (one.created_at, one.updated_at, one.expires_at)
        row = (one.id, one.namespace.value, one.status.value, one.project_id, *times, text)
        self._execute(UPSERT, row)

    def fill(self, ready: Iterable[Memory]) -> None:
        """Write many rows in one transaction."""
        self._execute("BEGIN", ())
        for one in ready:
            self.store(one)
        self._execute("COMMIT", ())

    def get(self, memory_id: str) -> Memory:
        """Read one row."""
        found = self._execute("SELECT memory FROM plain WHERE id = ?", (memory_id,))
        return decode_memory(found[0][0])

    def get_batch(self, ids: Sequence[str]) -> list[Memory]:
        """Read many rows."""
        rows = self._execute(f"SELECT memory FROM plain WHERE id {self._among}", (",".join(ids),))
        return [decode_memory(row[0]) for row in rows]

    def list_ids(self) -> list[str]:
        """Read all ids."""
        return [row[0] for row in self._execute("SELECT id FROM plain ORDER BY id", ())]


def plain_sqlite(path: str) -> Plain:
    """Return a table in a file, as durable as the log."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")

    def execute(sql: str, values: Sequence[Any]) -> list[Any]:
        if sql.endswith("json_each(?))"):
            values = [msgspec.json.encode(values[0].split(",")).decode()]
        return connection.execute(sql, values).fetchall()

    return Plain(execute, "IN (SELECT value FROM json_each(?))")


def plain_postgres(url: str) -> Plain:
    """Return a table in a database."""
    connection = psycopg.connect(url, autocommit=True)

    def execute(sql: str, values: Sequence[Any]) -> list[Any]:
        cursor = connection.execute(sql.replace("?", "%s"), values)
        return cursor.fetchall() if cursor.description else []

    return Plain(execute, "= ANY(string_to_array(?, ','))")


class PlainFiles(Plain):
    """One file for each memory, written durably, without log or manifest."""

    def __init__(self, root: Path) -> None:
        root.mkdir()
        self._root = root
        self._descriptor = os.open(root, os.O_RDONLY)

    def store(self, one: Memory) -> None:
        """Write one file: temporary name, fsync, rename, fsync of the directory."""
        target = self._root / f"{one.id}.json"
        staged = target.with_suffix(".tmp")
        with staged.open("wb") as file:
            file.write(msgspec.json.encode(encode_memory(one)))
            file.flush()
            os.fsync(file.fileno())
        staged.rename(target)
        os.fsync(self._descriptor)

    def fill(self, ready: Iterable[Memory]) -> None:
        """Write many files."""
        for one in ready:
            path = self._root / f"{one.id}.json"
            path.write_bytes(msgspec.json.encode(encode_memory(one)))

    def get(self, memory_id: str) -> Memory:
        """Read one file."""
        return decode_memory((self._root / f"{memory_id}.json").read_bytes())

    def get_batch(self, ids: Sequence[str]) -> list[Memory]:
        """Read many files."""
        return [self.get(memory_id) for memory_id in ids]

    def list_ids(self) -> list[str]:
        """List the directory."""
        return sorted(path.stem for path in self._root.iterdir())


FILL: Final = 2_000
"""Memories in each commit that fills the log."""


async def fill(url: str) -> None:
    """Append all memories, many to a commit."""
    async with EventStore.open(url, inline=[MemoryTables()]) as log:
        for start in range(0, COUNT, FILL):
            ready = [memory(number) for number in range(start, start + FILL)]
            await log.append_many(
                StreamWrite(MEMORIES + one.id, [NewEvent(MEMORY_STORED, encode_memory(one))])
                for one in ready
            )


@contextmanager
def places(folder: Path) -> Iterator[dict[str, tuple[str, MemoryStore, Plain]]]:
    """Give a store of each kind, and its floor."""
    with server() as url, server() as other:
        one, two = f"sqlite:///{folder}/one.db", f"sqlite:///{folder}/two.db"
        with_files = MemoryStore(two, directory=folder / "files")
        yield {
            "SQLite": (one, MemoryStore(one), plain_sqlite(f"{folder}/plain.db")),
            "memory": ("", MemoryStore("memory://"), plain_sqlite(":memory:")),
            "PostgreSQL": (url, MemoryStore(url), plain_postgres(other)),
            "files": (two, with_files, PlainFiles(folder / "plain")),
        }


async def memories(setting: Setting) -> list[Row]:
    """Write, read, read 100, list 10,000, each beside a plain table: ms; and 16 threads."""
    rows: list[Row] = []
    with places(setting.folder) as found:
        for kind, (url, store, plain) in found.items():
            await _fill(url, store, plain)
            samples = _samples(store, plain, 40 if setting.quick else 300)
            for name, values in samples.items():
                rows += latency_rows(f"{kind}: {name}", values)
            rows += _threads(kind, store, 200 if setting.quick else 2_000)
            store.close()
    return rows


async def _fill(url: str, store: MemoryStore, plain: Plain) -> None:
    if url:
        await fill(url)
    else:
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(store.store, map(memory, range(COUNT))))
    plain.fill(map(memory, range(COUNT)))
    store.count()


def _samples(store: MemoryStore, plain: Plain, count: int) -> dict[str, dict[str, list[float]]]:
    numbers = random.Random(1).choices(range(COUNT), k=count)
    some = [f"memory-{number:06d}" for number in random.Random(2).sample(range(COUNT), BATCH)]
    works: dict[str, tuple[Callable[[int], Any], Callable[[Any, Any], object]]] = {
        "write": (memory, lambda one, made: one.store(made)),
        f"write with {FLOATS:,} floats": (
            lambda number: memory(number, FLOATS),
            lambda one, made: one.store(made),
        ),
        "read by id": (lambda number: f"memory-{number:06d}", lambda one, key: one.get(key)),
        f"read {BATCH} by id": (lambda _: some, lambda one, keys: one.get_batch(keys)),
        f"list {COUNT:,} ids": (lambda _: None, lambda one, _: one.list_ids()),
    }
    samples: dict[str, dict[str, list[float]]] = {}
    for name, (make, work) in works.items():
        taken: dict[str, list[float]] = {"ours": [], "plain": []}
        for number in numbers:
            for who, one in (("ours", store), ("plain", plain)):
                made = make(number)
                began = time.perf_counter_ns()
                work(one, made)
                taken[who].append((time.perf_counter_ns() - began) / 1e6)
        samples[name] = taken
    return samples


def _threads(kind: str, store: MemoryStore, count: int) -> list[Row]:
    rates = []
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in range(3):
            began = time.perf_counter()
            list(pool.map(lambda number: store.store(memory(number)), range(count)))
            rates.append(count / (time.perf_counter() - began))
    name = f"ours, {THREADS} threads"
    return [Row(f"{kind}: writes", name, "calls/s", sorted(rates)[1], min(rates))]
