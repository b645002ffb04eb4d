"""The write-ahead log is bounded once the readers that held it have gone."""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

from eventstore import EventStore, NewEvent
from eventstore.storage.sqlite import connection

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LIMIT = 256 * 1024


@pytest.fixture
def wal(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


@contextmanager
def held_by_a_reader(path: Path) -> Iterator[None]:
    """Read from a snapshot that is not ended before the block is."""
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM head").fetchall()
        yield
        reader.execute("COMMIT")


@pytest.mark.anyio
async def test_a_reader_that_reads_for_long_is_named_and_leaves_no_large_file(
    path: Path, wal: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "WAL_BYTES", LIMIT)
    event = {"text": "x" * 100_000}
    async with EventStore.open(url, notify="none") as store:
        await store.append("a/1", [NewEvent("T", event)])
        with held_by_a_reader(path):
            for _ in range(60):
                await store.append("a/1", [NewEvent("T", event)])
            assert wal.stat().st_size > 4 * LIMIT
            assert "reader" in (await store.status())["wal_kept"]
        for _ in range(3):
            await store.append("a/1", [NewEvent("T", 1)])
        assert wal.stat().st_size <= LIMIT
        assert "wal_kept" not in await store.status()


@pytest.mark.slow
@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("then", ["append", "close"])
async def test_after_100_mb_behind_a_reader_the_next_appends_or_closing_cut_the_file(
    path: Path, wal: Path, url: str, then: str
) -> None:
    event = {"text": "x" * 1_000_000}
    async with EventStore.open(url, notify="none") as store:
        await store.append("a/1", [NewEvent("T", event)])
        with held_by_a_reader(path):
            for _ in range(25):
                await store.append("a/1", [NewEvent("T", event) for _ in range(4)])
            assert wal.stat().st_size > 100_000_000
        if then == "append":
            # The first checkpoints what the reader held, the second begins the file anew.
            for _ in range(2):
                await store.append("a/1", [NewEvent("T", 1)])
            assert wal.stat().st_size <= connection.WAL_BYTES
    assert not wal.exists()
