"""Views on a file system that is full, or goes read-only under the open file: nothing is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
import pytest
from sqlalchemy.exc import SQLAlchemyError
from support.file_systems import Disk, filled, mounted
from support.logs import LOG_URLS
from support.totals import Totals, read_totals
from support.waiting import collect, eventually

from eventstore import EventStore, NewEvent, StorageError
from projections import ProjectionRunner
from projections.cli.projection_status import projections

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.promise("projection"),
    pytest.mark.slow,
    pytest.mark.parametrize("anyio_backend", ["asyncio"]),
]

STREAM = "n/0"
MOST = 10_000
"""Appends after which a full file system has to have refused one."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """Give a file system that can fail."""
    disk = Disk(tmp_path / "disk", "events.db")
    yield disk
    disk.close()


async def append(store: EventStore) -> None:
    await store.append(STREAM, [NewEvent("Counted", 1)])


async def append_until_refused(store: EventStore) -> tuple[int, str]:
    """Append until the store says that it cannot; return how many it has acknowledged, and why."""
    for acknowledged in range(MOST):
        try:
            await append(store)
        except StorageError as error:
            return acknowledged, str(error)
    raise AssertionError("nothing was refused")


async def assert_holds(store: EventStore, url: str, count: int) -> None:
    """Fail unless log and view have so many events, each once."""
    events = await collect(store.read())
    assert [event.position for event in events] == list(range(1, count + 1))
    assert await anyio.to_thread.run_sync(read_totals, url) == {STREAM: count}


async def test_an_inline_view_on_a_full_file_system_heals_in_the_same_store(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk") as place:
        url = LOG_URLS["sqlite"](place)
        async with EventStore.open(url, inline=[Totals()], notify="none") as store:
            await append(store)
            with filled(place):
                acknowledged, reason = await append_until_refused(store)
                assert "full" in reason
                count = 1 + acknowledged
                await assert_holds(store, url, count)
            await append(store)
            await assert_holds(store, url, count + 1)


async def test_an_inline_view_outlives_a_file_system_that_goes_read_only(disk: Disk) -> None:
    url = LOG_URLS["sqlite"](disk.place)
    async with EventStore.open(url, inline=[Totals()], notify="none") as store:
        await append(store)
        disk.fail()
        for _ in range(2):
            with pytest.raises(StorageError, match=r"disk I/O error|readonly"):
                await append(store)
        assert len(await collect(store.read())) == 1
    disk.repair()
    async with EventStore.open(url, inline=[Totals()], notify="none") as store:
        await append(store)
        await assert_holds(store, url, 2)


async def test_a_followed_view_outlives_a_file_system_that_goes_read_only(
    disk: Disk, tmp_path: Path
) -> None:
    target = LOG_URLS["sqlite"](disk.place)
    async with EventStore.open(f"sqlite:///{tmp_path}/log.db", poll=0.05) as store:
        runner = ProjectionRunner(store, Totals().at(target))

        async def told() -> str:
            return "".join(str(entry.values["reason"]) for entry in await projections(store))

        async def is_well() -> bool:
            try:
                rows = await anyio.to_thread.run_sync(read_totals, target)
            except SQLAlchemyError:  # The file is being replaced.
                return False
            return rows == {STREAM: (await store.head()).position} and not await told()

        async with anyio.create_task_group() as tasks:
            await append(store)
            tasks.start_soon(runner.run)
            await eventually(is_well)
            disk.fail()
            await append(store)
            await eventually(told)
            assert "disk" in await told()
            assert runner.stopped == {}
            await anyio.to_thread.run_sync(disk.repair)
            await append(store)
            await eventually(is_well)
            tasks.cancel_scope.cancel()
