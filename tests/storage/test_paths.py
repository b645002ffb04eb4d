"""File names and event loops that are not the usual ones."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING
from urllib.parse import quote

import anyio
import pytest
import trio
from support.audit import audit
from support.logs import positions, some
from support.waiting import collect

from eventstore import EventStore

if TYPE_CHECKING:
    from pathlib import Path


NAMES = ["a b.db", "é\U0001f600.db", "100%.db", "a%20b.db", "#x;.db", "'.db", "a?b.db", "~x.db"]


@pytest.mark.anyio
@pytest.mark.parametrize("name", NAMES)
async def test_a_percent_encoded_file_name_is_taken_as_it_was(tmp_path: Path, name: str) -> None:
    async with EventStore.open(f"sqlite:///{tmp_path}/{quote(name)}") as store:
        await store.append("a/1", some(1))
    assert audit(tmp_path / name) == 1


@pytest.mark.anyio
@pytest.mark.parametrize("name", [name for name in NAMES if "%20" not in name and "?" not in name])
async def test_a_file_name_needs_no_encoding(tmp_path: Path, name: str) -> None:
    async with EventStore.open(f"sqlite:///{tmp_path}/{name}") as store:
        await store.append("a/1", some(1))
    assert audit(tmp_path / name) == 1


@pytest.mark.anyio
async def test_a_symlink_to_the_file_shares_its_locks(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link.db").symlink_to(tmp_path / "real" / "e.db")
    (tmp_path / "directory").symlink_to(tmp_path / "real")
    names = ("link.db", "real/e.db", "directory/e.db")
    async with anyio.create_task_group() as tasks:

        async def write(name: str) -> None:
            async with EventStore.open(f"sqlite:///{tmp_path}/{name}", notify="none") as store:
                for _ in range(20):
                    await store.append("a/1", some(1))

        for name in names:
            tasks.start_soon(write, name)
    assert audit(tmp_path / "real" / "e.db") == 60
    locks = [path.name async for path in anyio.Path(tmp_path).glob("**/*-writer")]
    assert locks == ["e.db-writer"]


def leave_with_appends_pending(url: str) -> None:
    """Let an event loop end while a store of it appends, and end the store's own work."""
    store = EventStore.open(url, notify="none")

    async def leave() -> None:
        await store.__aenter__()
        for number in range(50):
            task = asyncio.ensure_future(store.append(f"a/{number}", some(3)))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.sleep(0)

    asyncio.run(leave())
    store._writer.close()
    store._backend.close()


def test_a_loop_that_ends_with_appends_pending_leaves_the_log_whole(path: Path, url: str) -> None:
    def leave() -> None:
        leave_with_appends_pending(url)
        gc.collect()

    with pytest.warns(ResourceWarning, match="never closed"):
        leave()
    assert audit(path) % 3 == 0


@pytest.mark.slow
def test_a_reader_dropped_half_way_under_trio_leaves_no_warning(url: str) -> None:
    async def leave() -> None:
        async with EventStore.open(url) as store:
            await store.append("a/1", some(10))
            for source in (store.read(), store.subscribe_changes()):
                async for _ in source:
                    break
            gc.collect()
            assert positions(await collect(store.read(limit=2))) == [1, 2]

    trio.run(leave)
    gc.collect()
