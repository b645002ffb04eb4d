"""Appending: one event at a time, a thousand at a time, and from 64 tasks at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import anyio

from benchmarks.async_peer import AsyncPeer
from benchmarks.blocking import THREADS, sync_batches, sync_singles, sync_threads
from benchmarks.data import STREAMS, TYPE, new_events, payload
from benchmarks.group import GroupLoop, GroupThreads
from benchmarks.measure import FSYNC, Contestant, Row, Setting, measure, rate_rows
from benchmarks.peer import Peer, sqlite_settings
from benchmarks.plain import PlainLog
from benchmarks.uma import uma_db
from eventstore import EventStore, NewEvent
from eventstore.sync import EventStore as BlockingStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from typing import Self

    from eventsourcing.persistence import StoredEvent

    from benchmarks.plain import ReadyRow

Run: TypeAlias = "Callable[[], Awaitable[None]]"

BATCH: Final = 1_000
TASKS: Final = 64
ALL: Final = range(TASKS)


class Field:
    """Our store, the floor and the peer, each on a file of its own."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting

    async def __aenter__(self) -> Self:
        folder = self._setting.folder
        async with AsyncExitStack() as stack:
            self.store = await stack.enter_async_context(
                EventStore.open(f"sqlite:///{folder / 'ours.db'}")
            )
            self.sync = stack.enter_context(BlockingStore.open(f"sqlite:///{folder / 'sync.db'}"))
            self.plain = await PlainLog.create(folder / "plain.db")
            stack.callback(self.plain.close)
            self.peer = Peer(sqlite_settings(folder / "peer.db"))
            stack.callback(self.peer.close)
            self.uma = stack.enter_context(uma_db(folder))
            self.async_peer = AsyncPeer(folder)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()


async def singles(setting: Setting) -> list[Row]:
    """One task appends one event after another, awaiting each: events/s.

    Ours (``NewEvent(…)`` included), ours by ``eventstore.sync`` in one thread, the floor (plain
    ``sqlite3``, rows made ready, the same statements, one fsynced commit each), and
    pyeventsourcing at both levels. Events of 250 bytes, over 64 streams in turn.
    """
    count = setting.scaled(1_500)
    async with Field(setting) as field:
        contestants = [
            Contestant("ours", count, partial(our_singles, field.store, count), FSYNC),
            sync_singles(field.sync, count),
            Contestant(
                "floor: plain sqlite3", count, partial(_floor, field.plain, count, 1), FSYNC
            ),
            *peers(field.peer, count, 1),
            *field.uma.appends(count, 1),
            *field.async_peer.appends(count, 1),
        ]
        rates = await measure(contestants, setting.rounds)
    return rate_rows("single appends", rates, contestants=contestants)


async def batches(setting: Setting) -> list[Row]:
    """One task appends 1,000 events per call, to one of 64 streams in turn: events/s.

    Ours with ``NewEvent(…)`` timed, as the peer's application triggers its events within
    the time, and ours with events made ready, as the peer's recorder gets its own.
    """
    count = setting.scaled(10) * BATCH
    async with Field(setting) as field:
        contestants = [
            *ours_in_batches(field.store, count),
            sync_batches(field.sync, count, BATCH),
            Contestant(
                "floor: plain sqlite3", count, partial(_floor, field.plain, count, BATCH), FSYNC
            ),
            *peers(field.peer, count, BATCH),
            *field.uma.appends(count, BATCH),
            *field.async_peer.appends(count, BATCH),
        ]
        rates = await measure(contestants, setting.rounds)
    return rate_rows("batches of 1,000", rates, contestants=contestants)


async def concurrent(setting: Setting) -> list[Row]:
    """64 tasks append single events at once, each to a stream of its own: events/s.

    Ours beside 16 threads of ``eventstore.sync``, ours with one task, bare group commits (one
    thread that drains a queue into plain ``sqlite3``, for 64 tasks and for 16 threads), and beside
    pyeventsourcing from 64 threads, which is the nearest it has: its calls block, and it commits
    once for each.
    """
    count = setting.scaled(6_400) // TASKS * TASKS
    few = setting.scaled(1_500)
    async with Field(setting) as field:
        loop, threads = GroupLoop(field.plain), GroupThreads(field.plain)
        contestants = [
            Contestant("ours, 64 tasks", count, partial(our_tasks, field.store, count), FSYNC),
            sync_threads(field.sync, count),
            Contestant("ours, 1 task", few, partial(our_singles, field.store, few), FSYNC),
            Contestant(
                "floor: group commit of plain sqlite3",
                count,
                partial(_floor_tasks, field.plain, loop, count),
                FSYNC,
            ),
            Contestant(
                f"floor: group commit, {THREADS} threads",
                count,
                partial(_floor_threads, field.plain, threads, count),
                FSYNC,
            ),
            *_peer_threads(field.peer, few // TASKS),
            *field.uma.threads(count, TASKS),
        ]
        rates = await measure(contestants, setting.rounds)
        loop.close()
        threads.close()
    return rate_rows("64 tasks", rates, contestants=contestants)


def our_singles(store: EventStore, count: int) -> Run:
    async def run() -> None:
        for number in range(count):
            await store.append(STREAMS[number % 64], [NewEvent(TYPE, payload(number))])

    return run


def our_batches(store: EventStore, count: int, *, made: bool) -> Run:
    ready = [new_events(BATCH) if made else None for _ in range(count // BATCH)]

    async def run() -> None:
        for number, events in enumerate(ready):
            await store.append(STREAMS[number % 64], events or new_events(BATCH))

    return run


def our_tasks(store: EventStore, count: int) -> Run:
    async def one(stream: str) -> None:
        for number in range(count // TASKS):
            await store.append(stream, [NewEvent(TYPE, payload(number))])

    async def run() -> None:
        async with anyio.create_task_group() as group:
            for stream in STREAMS:
                group.start_soon(one, stream)

    return run


def _floor(log: PlainLog, count: int, size: int) -> Run:
    streams = [ALL] if size == 1 else [[number % 64] for number in range(count // size)]
    rows = [row for some in streams for row in log.ready(count // len(streams), some)]

    async def run() -> None:
        for start in range(0, count, size):
            log.append(rows[start : start + size])

    return run


def _floor_tasks(log: PlainLog, loop: GroupLoop, count: int) -> Run:
    rows = [log.ready(count // TASKS, [number]) for number in ALL]

    async def one(number: int) -> None:
        for row in rows[number]:
            await loop.append(row)

    async def run() -> None:
        async with anyio.create_task_group() as group:
            for number in ALL:
                group.start_soon(one, number)

    return run


def _floor_threads(log: PlainLog, threads: GroupThreads, count: int) -> Run:
    rows = [log.ready(count // THREADS, [number]) for number in range(THREADS)]

    def one(part: Sequence[ReadyRow]) -> None:
        for row in part:
            threads.append(row)

    return partial(_in_threads, one, rows, THREADS)


def ours_in_batches(store: EventStore, count: int) -> list[Contestant]:
    """Return ours with ``NewEvent(…)`` timed, and ours with events made ready."""
    return [
        Contestant("ours", count, partial(our_batches, store, count, made=False), FSYNC),
        Contestant(
            "ours, events made ready", count, partial(our_batches, store, count, made=True), FSYNC
        ),
    ]


def peers(peer: Peer, count: int, size: int) -> list[Contestant]:
    def recorder() -> Run:
        parts = [peer.ready(size, [number % 64]) for number in range(count // size)]

        async def run() -> None:
            for part in parts:
                peer.recorder.insert_events(part)

        return run

    async def application() -> None:
        for number in range(count // size):
            peer.tune(number % 64, size)

    return [
        Contestant("pyeventsourcing, recorder", count, recorder, FSYNC),
        Contestant("pyeventsourcing, application", count, lambda: application, FSYNC),
    ]


def _peer_threads(peer: Peer, each: int) -> list[Contestant]:
    def insert(part: Sequence[StoredEvent]) -> None:
        for stored in part:
            peer.recorder.insert_events([stored])

    def save(number: int) -> None:
        for _ in range(each):
            peer.tune(number, 1)

    def recorder() -> Run:
        return partial(_in_threads, insert, [peer.ready(each, [number]) for number in ALL])

    def application() -> Run:
        return partial(_in_threads, save, ALL)

    return [
        Contestant("pyeventsourcing, recorder, 64 threads", each * TASKS, recorder, FSYNC),
        Contestant("pyeventsourcing, application, 64 threads", each * TASKS, application, FSYNC),
    ]


async def _in_threads(
    work: Callable[[Any], object], items: Sequence[Any], threads: int = TASKS
) -> None:
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, items))
