"""Reading the whole log."""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from benchmarks.async_peer import AsyncPeer
from benchmarks.blocking import sync_reading
from benchmarks.data import STREAMS, new_events
from benchmarks.measure import Contestant, Row, Setting, measure, rate_rows
from benchmarks.peer import Peer, sqlite_settings
from benchmarks.plain import PlainLog
from benchmarks.uma import uma_db
from eventstore import EventStore
from eventstore.sync import EventStore as BlockingStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

CHUNK: Final = 4_096
"""Rows per page, everywhere; the store's own page size."""

BATCH: Final = 1_000


async def reading(setting: Setting) -> list[Row]:
    """Read every event, in order: events/s.

    Ours as raw events and with ``event.data`` decoded; the floor selects the same columns
    in chunks with plain ``sqlite3``, raw and decoded with msgspec; pyeventsourcing pages
    through its recorder's ``select_notifications``, and makes domain events of them as its
    followers do. 200,000 events of 250 bytes of JSON, over 64 streams.
    """
    count = setting.scaled(200_000)
    ours, theirs = setting.folder / "ours.db", Peer(sqlite_settings(setting.folder / "peer.db"))
    await _fill(ours, theirs, count)
    plain = PlainLog(ours)
    async with AsyncExitStack() as stack:
        uma = stack.enter_context(uma_db(setting.folder))
        uma.fill(count, BATCH)
        other = AsyncPeer(setting.folder)
        await other.fill(count, BATCH)
        store = await stack.enter_async_context(EventStore.open(f"sqlite:///{ours}"))
        sync = stack.enter_context(BlockingStore.open(f"sqlite:///{ours}", notify="none"))
        rates = await measure(
            [
                Contestant("ours", count, lambda: partial(_read, store)),
                sync_reading(sync, count),
                Contestant("ours, .data decoded", count, lambda: partial(_read_data, store)),
                Contestant("floor: plain sqlite3", count, lambda: partial(_walk, plain.chunks)),
                Contestant(
                    "floor: plain sqlite3, decoded", count, lambda: partial(_select_data, plain)
                ),
                Contestant(
                    "pyeventsourcing, recorder", count, lambda: partial(_walk, theirs.notifications)
                ),
                Contestant(
                    "pyeventsourcing, domain events",
                    count,
                    lambda: partial(_domain_events, theirs),
                ),
                *uma.reading(count),
                *other.reading(count),
            ],
            min(setting.rounds, 5),
        )
    plain.close()
    theirs.close()
    return rate_rows("reading everything", rates)


async def _fill(path: Path, peer: Peer, count: int) -> None:
    async with EventStore.open(f"sqlite:///{path}", notify="none") as store:
        for number in range(count // BATCH):
            await store.append(STREAMS[number % 64], new_events(BATCH))
            peer.tune(number % 64, BATCH)


async def _read(store: EventStore) -> None:
    async for _ in store.read():
        pass


async def _read_data(store: EventStore) -> None:
    async for event in store.read():
        _ = event.data


async def _walk(chunks: Callable[[int], Iterable[Iterable[object]]]) -> None:
    for chunk in chunks(CHUNK):
        for _ in chunk:
            pass


async def _select_data(log: PlainLog) -> None:
    decode = msgspec.json.decode
    for rows in log.chunks(CHUNK):
        for row in rows:
            decode(row[7])


async def _domain_events(peer: Peer) -> None:
    mapper = peer.app.mapper
    for page in peer.notifications(CHUNK):
        for notification in page:
            mapper.to_domain_event(notification)
