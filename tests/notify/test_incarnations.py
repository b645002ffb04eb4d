"""Two copies of one history on one Redis: neither believes a hint of the other."""

from __future__ import annotations

import io
import shutil
from typing import TYPE_CHECKING

import anyio
import pytest
from support.logs import data, some, woken
from support.redis import shared_redis
from support.waiting import collect, eventually, take

from eventstore import END, Event, EventStore, NewEvent
from eventstore.notify._file import FileNotifier
from eventstore.notify._postgres import _position_in
from eventstore.notify.protocol import LogIdentity
from eventstore.storage.incarnation import TABLE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from eventstore.testing import FakeClock

pytestmark = pytest.mark.anyio

KEY = "the key that the fleet shares"
QUIET = 3600.0
"""A poll that no test waits for."""


def count(store: EventStore, name: str) -> int:
    return int(store._notifier.describe().get(f"messages_{name}", 0))


async def restored(source: str, place: Path) -> str:
    """Make a copy of a log by backup and restore."""
    async with EventStore.open(source) as store:
        await store.backup(place / "backup.db")
    url = f"sqlite:///{place}/staging.db"
    await EventStore.restore(place / "backup.db", url)
    return url


async def imported(source: str, place: Path) -> str:
    """Make a copy of a log by export and import."""
    file = io.BytesIO()
    async with EventStore.open(source) as store:
        await store.export(file)
    url = f"sqlite:///{place}/staging.db"
    async with EventStore.open(url) as copy:
        await copy.import_from(io.BytesIO(file.getvalue()))
    return url


async def copied(source: str, place: Path) -> str:
    """Make a copy of a log's file, and say that it is one."""
    shutil.copy(source.removeprefix("sqlite:///"), place / "staging.db")
    url = f"sqlite:///{place}/staging.db"
    async with EventStore.open(url) as copy:
        await copy.renew_incarnation()
    return url


COPIES = [restored, imported, copied]


async def incarnation(url: str) -> str | None:
    async with EventStore.open(url) as store:
        found: str | None = (await store.status())["incarnation"]
        return found


@pytest.mark.parametrize("make", COPIES)
@pytest.mark.parametrize("keys", [[], [KEY]], ids=["unsigned", "signed"])
async def test_a_copy_s_events_never_reach_the_original_s_workers(
    tmp_path: Path, keys: list[str], make: Callable[[str, Path], object]
) -> None:
    production = f"sqlite:///{tmp_path}/production.db"
    async with EventStore.open(production) as store:
        await store.append("a/1", some(5))
    staging = await make(production, tmp_path)  # type: ignore[misc]
    redis = shared_redis().url

    def opened(url: str) -> EventStore:
        return EventStore.open(url, notify=redis, notify_keys=keys, poll=QUIET)

    async with (
        opened(production) as writer,
        opened(production) as worker,
        opened(staging) as copy,
        opened(staging) as beside,
        worker.subscribe_changes(after=END) as changes,
        beside.subscribe_changes(after=END) as copied_changes,
    ):
        assert (await copy.head()).cursor == (await writer.head()).cursor
        assert copy._log.incarnation != writer._log.incarnation
        await woken(changes, writer)
        await woken(copied_changes, copy)
        before = worker.feed.tail.reads
        for number in range(5):
            await copy.append("a/1", [NewEvent("OfStaging", number)])
        assert [e.type for e in await take(copied_changes, 5)][-1:] == ["OfStaging"]
        done = await writer.append("a/1", [NewEvent("OfProduction", 1)])
        seen: list[Event] = []
        while not seen or seen[-1].position < done.position:
            seen += await take(changes, 1)
        assert "OfStaging" not in {event.type for event in seen}
        assert seen == (await collect(writer.read()))[-len(seen) :]
        if keys:
            await eventually(lambda: _at_least(worker, 5))
            assert count(worker, "news") >= 1
        else:
            # The hints of the copy came on a channel of its own.
            assert worker.feed.tail.reads <= before + 2


async def _at_least(store: EventStore, number: int) -> bool:
    return count(store, "foreign") >= number


async def test_each_copy_is_another_and_the_log_itself_stays(tmp_path: Path) -> None:
    production = f"sqlite:///{tmp_path}/production.db"
    async with EventStore.open(production) as store:
        await store.append("a/1", some(5))
        cursor = (await store.head()).cursor
        consumer = store.subscribe_changes(consumer="w")
        await take(consumer, 3)
        await consumer.aclose()
    found = [await incarnation(production)]
    for make in COPIES:
        place = tmp_path / make.__name__
        place.mkdir()
        url = await make(production, place)
        found.append(await incarnation(url))
        async with EventStore.open(url) as copy:
            # Cursors and consumers carry over: a cursor names the log, not the copy.
            assert await collect(copy.read(after=cursor)) == []
            resumed = await take(copy.subscribe_changes(consumer="w"), 1)
            assert data(resumed) == [2]
            assert (await copy.verify()).ok
    await EventStore.restore(tmp_path / "restored" / "backup.db", production, replace=True)
    found.append(await incarnation(production))
    assert found[0] is None
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "memory"])
async def test_a_log_can_be_given_a_new_incarnation(
    kind: str, tmp_path: Path, clock: FakeClock
) -> None:
    from support.logs import LOG_URLS

    async with EventStore.open(LOG_URLS[kind](tmp_path), clock=clock) as store:
        await store.append("a/1", some(2))
        one, two = await store.renew_incarnation(), await store.renew_incarnation()
        assert one != two == (await store.status())["incarnation"]
        assert (await store.verify()).ok
        rows = await store.query(
            lambda connection, _: connection.exec_driver_sql(f"SELECT id FROM {TABLE}").fetchall()
        )
        assert [row[0] for row in rows] == [two]


def test_a_notification_of_another_incarnation_is_no_hint() -> None:
    assert _position_in("17", "") == 17
    assert _position_in("17 one", "one") == 17
    assert _position_in("17 two", "one") is None
    assert _position_in("17 two", "") is None
    # Of an earlier version, or nothing that this one knows: a reason to look.
    assert (_position_in("17", "one") or 0) > 2**62
    assert (_position_in("x", "") or 0) > 2**62


async def test_a_file_s_hint_of_another_incarnation_is_not_believed(tmp_path: Path) -> None:
    woken_at: list[int | None] = []
    reader = FileNotifier(tmp_path)
    reader._own = "one"
    reader._wake = lambda position=None, batch=None: woken_at.append(position)
    writer = FileNotifier(tmp_path)
    for incarnation_, expected in (("one", [7]), ("two", []), ("", [None])):
        (tmp_path / "position").unlink(missing_ok=True)
        writer.publish(LogIdentity("log", incarnation_), 7, None)
        # What version 0.1.0 reads of it.
        assert int((tmp_path / "position").read_bytes()[:32]) == 7
        woken_at.clear()
        reader._woken()
        assert woken_at == expected
    await anyio.lowlevel.checkpoint()
