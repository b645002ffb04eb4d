"""The log on PostgreSQL, beside plain psycopg on the same schema and the peer."""

from __future__ import annotations

import sys
import time
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import anyio
import psycopg
from psycopg.conninfo import conninfo_to_dict

from benchmarks.appends import BATCH, TASKS, our_singles, our_tasks, ours_in_batches, peers
from benchmarks.data import STREAMS, new_events
from benchmarks.measure import FSYNC, Contestant, Row, Setting, latency_rows, measure, rate_rows
from benchmarks.peer import Peer
from benchmarks.plain import ready_rows
from benchmarks.processes import QUIET_SECONDS, Child
from eventstore import EventStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

COLUMNS: Final = (
    "(stream_id, version, id, type, content, data, metadata, recorded_us, salt, digest, hash, "
    "position, commit_position)"
)
SAMPLES: Final = 400
CHUNK: Final = 4_096


@contextmanager
def server() -> Iterator[str]:
    """Start a private server as durable as a real one; give the URL of an empty schema."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    from support.postgres import private_server  # noqa: PLC0415 - of the tests, not installed

    with private_server(fsync=True, settings={"shared_buffers": "256MB"}) as running:
        yield running.fresh_schema()


class PlainPostgres:
    """The floor: the store's own tables, rows made ready, one durable commit per call."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)
        self._ready = ready_rows()
        names = [(number, name) for number, name in enumerate(STREAMS, 1)]
        with self._connection.cursor() as cursor:
            cursor.executemany("INSERT INTO stream (id, name, version) VALUES (%s, %s, 0)", names)
        self._position = 0

    def prepare(self, count: int, size: int) -> Callable[[], Awaitable[None]]:
        """Return what writes ``count`` rows, ``size`` per commit."""
        rows: list[tuple[Any, ...]] = []
        for start in range(0, count, size):
            commit = self._position + start + size
            streams = range(64) if size == 1 else [start // size % 64]
            part = self._ready(size, [streams[start % len(streams)]])
            rows += [(*row, commit - size + at + 1, commit) for at, row in enumerate(part)]
        self._position += count

        async def run() -> None:
            for start in range(0, count, size):
                self._write(rows[start : start + size])

        return run

    def _write(self, rows: Sequence[tuple[Any, ...]]) -> None:
        run = self._connection.execute
        run("BEGIN")
        run("SELECT position, hash FROM head FOR UPDATE").fetchone()
        if len(rows) == 1:
            marks = ", ".join(["%s"] * len(rows[0]))
            run(f"INSERT INTO event {COLUMNS} VALUES ({marks})".encode(), rows[0])
        else:
            with (
                self._connection.cursor() as cursor,
                cursor.copy(f"COPY event {COLUMNS} FROM STDIN".encode()) as copy,
            ):
                for row in rows:
                    copy.write_row(row)
        run("UPDATE head SET position = %s, hash = %s", (rows[-1][-1], rows[-1][-3]))
        run("COMMIT")

    def read(self) -> int:
        """Read everything in chunks, with the columns that the store reads."""
        with self._connection.transaction(), self._connection.cursor("all", binary=True) as cursor:
            cursor.itersize = CHUNK
            cursor.execute(
                "SELECT e.position, s.name, e.version, e.type, e.commit_position, e.id, "
                "e.content, e.data, e.metadata, e.recorded_us, e.hash "
                "FROM event e JOIN stream s ON s.id = +e.stream_id ORDER BY e.position"
            )
            return sum(1 for _ in cursor)

    def close(self) -> None:
        """Disconnect."""
        self._connection.close()


class Field:
    """Our store, the floor and the peer, each in a schema of its own on one server."""

    store: EventStore
    plain: PlainPostgres
    peer: Peer


@asynccontextmanager
async def field() -> AsyncIterator[Field]:
    """Set the three up on a server of their own."""
    with server() as url:
        one = Field()
        for schema in ("plain", "peer"):
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(f"CREATE SCHEMA {schema}".encode())
        base = url.partition("?")[0]
        plain_url = f"{base}?options=-csearch_path%3Dplain"
        async with EventStore.open(plain_url, notify="none"):
            pass
        one.plain = PlainPostgres(plain_url)
        one.peer = Peer(peer_settings(base))
        async with EventStore.open(url, notify="none") as one.store:
            yield one
        one.plain.close()
        one.peer.close()


def peer_settings(url: str) -> dict[str, str]:
    """Return the settings that pyeventsourcing takes for a PostgreSQL database."""
    given = conninfo_to_dict(url)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": str(given["dbname"]),
        "POSTGRES_HOST": str(given["host"]),
        "POSTGRES_PORT": str(given["port"]),
        "POSTGRES_USER": str(given["user"]),
        "POSTGRES_PASSWORD": str(given["password"]),
        "POSTGRES_SCHEMA": "peer",
    }


async def pg_singles(setting: Setting) -> list[Row]:
    """One task appends one event after another on PostgreSQL, awaiting each: events/s."""
    count = setting.scaled(1_000)
    async with field() as one:
        rates = await measure(
            [
                Contestant("ours", count, partial(our_singles, one.store, count)),
                Contestant("floor: psycopg", count, partial(one.plain.prepare, count, 1)),
                *peers(one.peer, count, 1),
            ],
            setting.rounds,
        )
    return rate_rows("PostgreSQL: single appends", rates, durable=FSYNC)


async def pg_batches(setting: Setting) -> list[Row]:
    """One task appends 1,000 events per call on PostgreSQL: events/s. The floor is COPY."""
    count = setting.scaled(20) * BATCH
    async with field() as one:
        rates = await measure(
            [
                *ours_in_batches(one.store, count),
                Contestant("floor: COPY", count, partial(one.plain.prepare, count, BATCH)),
                *peers(one.peer, count, BATCH),
            ],
            setting.rounds,
        )
    return rate_rows("PostgreSQL: batches of 1,000", rates, durable=FSYNC)


async def pg_concurrent(setting: Setting) -> list[Row]:
    """64 tasks append single events at once on PostgreSQL, beside one task: events/s."""
    count = setting.scaled(6_400) // TASKS * TASKS
    few = setting.scaled(1_000)
    async with field() as one:
        rates = await measure(
            [
                Contestant("ours, 64 tasks", count, partial(our_tasks, one.store, count)),
                Contestant("ours, 1 task", few, partial(our_singles, one.store, few)),
                *peers(one.peer, few, 1),
            ],
            setting.rounds,
        )
    return rate_rows("PostgreSQL: 64 tasks", rates, durable=FSYNC)


async def pg_reading(setting: Setting) -> list[Row]:
    """Read every event on PostgreSQL, in order: events/s."""
    count = setting.scaled(100_000)
    async with field() as one:
        for start in range(0, count, BATCH):
            await one.store.append(STREAMS[start // BATCH % 64], new_events(BATCH))
            one.peer.recorder.insert_events(one.peer.ready(BATCH, [start // BATCH % 64]))
        await one.plain.prepare(count, BATCH)()

        async def ours() -> None:
            async for _ in one.store.read():
                pass

        async def floor() -> None:
            one.plain.read()

        async def theirs() -> None:
            for _ in one.peer.notifications(CHUNK):
                pass

        rates = await measure(
            [
                Contestant("ours", count, lambda: ours),
                Contestant("floor: psycopg", count, lambda: floor),
                Contestant("pyeventsourcing, recorder", count, lambda: theirs),
            ],
            setting.rounds,
        )
    return rate_rows("PostgreSQL: reading", rates)


async def pg_waking(setting: Setting) -> list[Row]:
    """Append one event on PostgreSQL; time until a follower in another process has it: ms.

    The first row counts from the return of ``append``, the second from its call; the last
    is the duration of ``append`` itself.
    """
    samples: dict[str, list[float]] = {
        "ours, since append returned": [],
        "ours, since append was called": [],
        "append itself": [],
    }
    with server() as url:
        async with EventStore.open(url) as store:
            with Child("follower", url) as follower:
                await anyio.sleep(QUIET_SECONDS)
                for event in new_events(setting.scaled(SAMPLES)):
                    began = time.monotonic_ns()
                    done = await store.append(STREAMS[0], [event])
                    returned = time.monotonic_ns()
                    arrived = follower.await_word(done.position)
                    marks = (returned, began, returned)
                    ends = (arrived, arrived, 2 * returned - began)
                    for name, mark, end in zip(samples, marks, ends, strict=True):
                        samples[name].append((end - mark) / 1e6)
                    await anyio.sleep(0.01)
    return latency_rows("PostgreSQL: append → received", samples)
