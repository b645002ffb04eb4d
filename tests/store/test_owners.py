"""A store belongs to one event loop of one process; every use elsewhere is refused at once."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import pytest
from support.open_files import open_below
from support.uses import everything, not_refused, open_everything, refused
from support.waiting import eventually

from eventstore import EventStore, EventStoreError, NewEvent, StoreClosedError, WrongLoopError
from projections.journal import Journal
from projections.memories import MemoryStore
from projections.registry import Registry
from projections.rules.replica import RuleReplica
from projections.sql.store import SqlStorage

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from pathlib import Path

pytestmark = pytest.mark.promise("owners")

BACKENDS = ("asyncio", "trio")


@pytest.fixture(params=["memory", "sqlite"])
def url(request: pytest.FixtureRequest, path: Path) -> str:
    """Name a log that is not there yet."""
    return "memory://" if request.param == "memory" else f"sqlite:///{path}"


def refused_elsewhere(found: Any, backend: str) -> list[str]:
    """Try uses in an event loop of their own, in this thread."""
    left: list[str] = anyio.run(partial(not_refused, found, WrongLoopError), backend=backend)
    return left


@pytest.mark.parametrize(("backend", "other"), [BACKENDS, BACKENDS[::-1], BACKENDS[:1] * 2])
def test_every_method_and_step_is_refused_in_another_thread(
    url: str, backend: str, other: str
) -> None:
    async def main() -> None:
        async with everything(url) as every:
            found = list(every.uses())
            assert len(found) > 80
            assert not await anyio.to_thread.run_sync(refused_elsewhere, found, other)
            # Nothing of it has had an effect here.
            assert (await every.store.head()).position == 5
            assert (await anext(every.reader)).position == 2
            assert (await anext(every.subscription)).position == 2

    anyio.run(main, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_method_and_step_is_refused_after_its_loop_has_ended(url: str, backend: str) -> None:
    left: list[Any] = []

    async def main() -> None:
        left.append(await open_everything(url))

    anyio.run(main, backend=backend)
    assert not refused_elsewhere(list(left[0].uses()), backend)
    with pytest.warns(ResourceWarning, match="was never closed"):
        _collect(left)


def test_a_use_without_an_event_loop_is_refused_at_its_first_step(url: str) -> None:
    async def main() -> None:
        async with everything(url) as every:
            assert not await anyio.to_thread.run_sync(_driven_by_hand, list(every.uses()))

    anyio.run(main)


def _driven_by_hand(found: list[tuple[str, Any]]) -> list[str]:
    left: list[str] = []
    for name, use in found:
        step: Awaitable[Any] = use()
        with refused(name, WrongLoopError, left):
            step.__await__().send(None)
    return left


async def _use_and_close(url: str) -> int:
    async with EventStore.open(url) as store:
        return (await store.append("a/1", [NewEvent("T", 1)])).position


def test_what_is_made_anywhere_opens_in_the_loop_that_enters_it(path: Path) -> None:
    url = f"sqlite:///{path}"
    assert [anyio.run(_use_and_close, url, backend=one) for one in BACKENDS] == [1, 2]
    store, registry = EventStore.open(url), Registry(url)

    async def main() -> None:
        async with store:
            reader = await anyio.to_thread.run_sync(store.read)
            subscription = await anyio.to_thread.run_sync(store.subscribe_changes)
            assert (await anext(reader)).position == (await anext(subscription)).position == 1
            # A thread that belongs to the loop comes back to it.
            append = partial(store.append, "a/1", [NewEvent("T", 2)])
            done = await anyio.to_thread.run_sync(lambda: anyio.from_thread.run(append))
            assert done.position == 3
        with pytest.raises(StoreClosedError):
            await store.head()

    anyio.run(main)

    async def list_ids() -> list[str]:
        async with registry:
            return await registry.list_ids()

    assert [anyio.run(list_ids, backend=one) for one in BACKENDS] == [[], []]


@pytest.mark.parametrize("kind", [Registry, Journal])
def test_a_seam_that_one_loop_opened_is_refused_in_the_next(kind: Any, url: str) -> None:
    seam = kind(url)
    anyio.run(seam.open)
    with pytest.raises(WrongLoopError, match=str(kind.__name__).lower()):
        anyio.run(seam.open)
    with pytest.raises(WrongLoopError):
        anyio.run(seam.close)
    held = [seam]
    del seam
    with pytest.warns(ResourceWarning, match="was never closed"):
        _collect(held)


def _threads() -> set[threading.Thread]:
    return {one for one in threading.enumerate() if one.name.startswith("eventstore")}


@pytest.mark.anyio
async def test_a_store_that_is_never_closed_ends_with_its_threads_and_files(path: Path) -> None:
    before, files = _threads(), open_below(path)
    store = await EventStore.open(f"sqlite:///{path}").__aenter__()
    await store.append("a/1", [NewEvent("T", 1)])
    subscription = store.subscribe_changes()
    assert (await anext(subscription)).position == 1
    held = [store, subscription]
    del store, subscription
    with pytest.warns(ResourceWarning, match=r"the store sqlite:.* was never closed"):
        _collect(held)

    async def ended() -> bool:
        return not _threads() - before and open_below(path) == files

    await eventually(ended)


@pytest.mark.anyio
async def test_what_was_queued_is_written_where_the_store_is_never_closed(path: Path) -> None:
    store = await EventStore.open(f"sqlite:///{path}").__aenter__()
    later = store.transact_later(lambda _: None)
    held = [store]
    del store
    with pytest.warns(ResourceWarning):
        _collect(held)
    await anyio.to_thread.run_sync(later.result, 60)
    assert later.exception() is None


@pytest.mark.slow
@pytest.mark.anyio
async def test_a_subscription_keeps_its_store_open(path: Path) -> None:
    store = await EventStore.open(f"sqlite:///{path}").__aenter__()
    await store.append("a/1", [NewEvent("T", 1)])
    reader, subscription, streams = store.read(), store.subscribe_changes(), store.streams()
    del store
    gc.collect()
    assert (await anext(reader)).position == (await anext(subscription)).position == 1
    assert [stream.name async for stream in streams] == ["a/1"]
    held = [reader, subscription, streams]
    del reader, subscription, streams
    with pytest.warns(ResourceWarning):
        _collect(held)


def _collect(held: list[Any]) -> None:
    held.clear()
    gc.collect()


@pytest.mark.slow
def test_blocking_stores_that_are_never_closed_are_warned_about(path: Path) -> None:
    storage = SqlStorage(f"sqlite:///{path}").open()
    held: list[Any] = [storage]
    del storage
    with pytest.warns(ResourceWarning, match="the storage sqlite:"):
        _collect(held)
    memories = MemoryStore("memory://").open()
    held = [memories]
    del memories
    with pytest.warns(ResourceWarning, match="the store of memories"):
        _collect(held)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_stores_are_not_copied_or_pickled(url: str, path: Path, copied: Any) -> None:
    async def main() -> None:
        async with everything(url) as every:
            for thing in (
                *vars(every).values(),
                EventStore.open(url),
                every.store.read(),
                every.store.subscribe_changes().commits(),
                every.rules.subscribe_changes(),
                every.rules.subscribe_commits(),
                every.registry.subscribe_changes(),
                RuleReplica(path),
                SqlStorage(f"sqlite:///{path}"),
                MemoryStore(url),
            ):
                if isinstance(thing, NewEvent) or type(thing).__name__ == "Event":
                    continue
                with pytest.raises(TypeError, match=f"a {type(thing).__name__} cannot be copied"):
                    copied(thing)

    anyio.run(main)


def test_both_errors_are_of_the_family() -> None:
    assert issubclass(WrongLoopError, EventStoreError)
    assert not issubclass(WrongLoopError, StoreClosedError)
