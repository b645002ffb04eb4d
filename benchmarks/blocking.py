"""The same appends and reads by the blocking store, beside the asynchronous one's."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Final

from benchmarks.data import STREAMS, TYPE, new_events, payload
from benchmarks.measure import FSYNC, Contestant
from eventstore import NewEvent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventstore.sync import EventStore

THREADS: Final = 16


def sync_singles(store: EventStore, count: int) -> Contestant:
    """Append one event after another from one thread."""

    async def run() -> None:
        _append(store, count, range(64))

    return Contestant("ours, eventstore.sync", count, lambda: run, FSYNC)


def sync_batches(store: EventStore, count: int, size: int) -> Contestant:
    """Append so many events per call, made within the time."""

    async def run() -> None:
        for number in range(count // size):
            store.append(STREAMS[number % 64], new_events(size))

    return Contestant("ours, eventstore.sync", count, lambda: run, FSYNC)


def sync_threads(store: EventStore, count: int) -> Contestant:
    """Append single events from 16 threads at once, each to a stream of its own."""

    async def run() -> None:
        with ThreadPoolExecutor(THREADS) as pool:
            one = partial(_append, store, count // THREADS)
            list(pool.map(one, [[number] for number in range(THREADS)]))

    return Contestant("ours, eventstore.sync, 16 threads", count, lambda: run, FSYNC)


def sync_reading(store: EventStore, count: int) -> Contestant:
    """Read everything."""

    async def run() -> None:
        for _ in store.read():
            pass

    return Contestant("ours, eventstore.sync", count, lambda: run)


def _append(store: EventStore, count: int, streams: Sequence[int]) -> None:
    for number in range(count):
        stream = STREAMS[streams[number % len(streams)]]
        store.append(stream, [NewEvent(TYPE, payload(number))])
