"""An opening that fails or is cancelled leaves nothing behind; a closing always reaches its end."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from support.logs import some
from support.open_files import open_below
from support.plain import plain
from support.totals import Totals
from support.waiting import eventually

from eventstore import EventStore, InvalidInputError, StoreClosedError
from projections.registry import Registry

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.promise("owners")

STEPS = 12
"""More turns of the event loop than an opening or a closing takes, threads aside."""


def _threads() -> set[threading.Thread]:
    return {one for one in threading.enumerate() if one.name.startswith("eventstore")}


class Left:
    """What was open before, to find what is left behind."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._threads = _threads()

    async def nothing(self) -> None:
        """Return once no thread and no file is left."""

        async def ended() -> bool:
            return not _threads() - self._threads and not open_below(self._path)

        await eventually(ended)


class Broken(Totals):
    """An inline projection that cannot be set up."""

    def setup(self, connection: Any) -> None:
        """Fail."""
        raise ZeroDivisionError("no tables today")


async def _use(seam: Any) -> None:
    async with seam:
        pass


@pytest.mark.parametrize("make", [EventStore.open, Registry])
@pytest.mark.parametrize("step", range(STEPS))
def test_asyncio_cancels_at_each_step_and_nothing_is_left(
    path: Path, url: str, make: Any, step: int
) -> None:
    async def main() -> None:
        left = Left(path)
        task = asyncio.ensure_future(_use(make(url)))
        for _ in range(step):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()  # As a program does that waits no longer; no shield of anyio holds it back.
        with suppress(asyncio.CancelledError):
            await task
        await left.nothing()
        async with EventStore.open(url) as store:
            await store.append("a/1", some(1))

    asyncio.run(main())


@pytest.mark.anyio
@pytest.mark.parametrize("make", [EventStore.open, Registry])
async def test_a_cancelled_scope_leaves_nothing(path: Path, url: str, make: Any) -> None:
    left = Left(path)
    for step in range(STEPS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_use, make(url))
            for _ in range(step):
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
    await left.nothing()


async def _sessions(url: str) -> int:
    def count() -> int:
        with plain(url) as connection:
            found = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                "AND pid <> pg_backend_pid()"
            ).fetchone()
        return int(found[0])

    return await anyio.to_thread.run_sync(count)


@pytest.mark.slow
@pytest.mark.anyio
async def test_forty_cancelled_openings_leave_no_session(postgres: Any) -> None:
    url = postgres.fresh_schema()
    async with EventStore.open(url) as store:
        await store.append("a/1", some(1))
    before = await _sessions(url)
    for number in range(40):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_use, EventStore.open(url))
            for _ in range(number % STEPS):
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()

    async def ended() -> bool:
        return await _sessions(url) <= before

    await eventually(ended)


@pytest.mark.anyio
async def test_an_opening_that_fails_leaves_nothing(path: Path, url: str) -> None:
    left = Left(path)
    store = EventStore.open(url, inline=[Broken()])
    with pytest.raises(ZeroDivisionError):
        await store.__aenter__()
    await left.nothing()
    with pytest.raises(StoreClosedError):
        await store.head()
    await store.aclose()
    # What was made is a whole log.
    async with EventStore.open(url, create=False) as mended:
        await mended.append("a/1", some(1))


@pytest.mark.anyio
async def test_closing_during_the_opening_closes_it_then(path: Path, url: str) -> None:
    left = Left(path)
    store = EventStore.open(url)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(store.__aenter__)
        await anyio.lowlevel.checkpoint()
        await anyio.lowlevel.checkpoint()
        await store.aclose()
        if not store.closed:  # It had not begun to open.
            await anyio.wait_all_tasks_blocked()
    await store.aclose()
    await left.nothing()


@pytest.mark.anyio
async def test_every_closer_returns_once_all_is_closed(path: Path, url: str) -> None:
    left = Left(path)
    store = await EventStore.open(url).__aenter__()
    outcomes: list[Any] = []

    async def append(number: int) -> None:
        try:
            outcomes.append((await store.append(f"a/{number}", some(1))).version)
        except StoreClosedError:
            outcomes.append(0)

    async def close() -> None:
        await store.aclose()
        assert not open_below(path)

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(append, number)
        for _ in range(3):
            tasks.start_soon(close)
    assert len(outcomes) == 20
    await left.nothing()
    async with EventStore.open(url) as again:
        assert (await again.head()).position == sum(outcomes)


@pytest.mark.anyio
async def test_a_body_that_raises_closes_the_store(path: Path, url: str) -> None:
    left = Left(path)
    with pytest.raises(InvalidInputError):
        async with EventStore.open(url) as store:
            await store.append("", some(1))
    await left.nothing()


@pytest.mark.anyio
async def test_one_store_is_opened_by_one_task_only(path: Path, url: str) -> None:
    left = Left(path)
    store, refused = EventStore.open(url), []

    async def enter() -> None:
        try:
            await store.__aenter__()
        except StoreClosedError as error:
            refused.append(error)

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(enter)
    assert len(refused) == 2
    await store.aclose()
    await left.nothing()
