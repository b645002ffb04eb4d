"""A log that is replaced under an open store by a restore or an import: no write goes into it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from support.logs import LOG_URLS, positions, some
from support.threaded import ThreadedStore
from support.totals import Totals
from support.waiting import collect, take

from eventstore import EventStore, LogReplacedError
from eventstore.storage.incarnation import TABLE
from projections.sql import SqlStorage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]

KINDS: list[Any] = [EventStore, pytest.param(ThreadedStore, marks=pytest.mark.slow)]
"""The store of coroutines, and the blocking one."""


async def restore(url: str, place: Path) -> None:
    """Put a backup, taken now, in the log's place."""
    async with EventStore.open(url) as other:
        await other.backup(place / "backup.db")
    await EventStore.restore(place / "backup.db", url, replace=True)


async def renew(url: str, _: Path) -> None:
    """Give the log a new incarnation, as is documented for ``pg_restore`` and for snapshots."""
    async with EventStore.open(url) as other:
        await other.renew_incarnation()


REPLACED = [("sqlite", restore), ("sqlite", renew), ("postgresql", renew)]


@asynccontextmanager
async def opened(kind: Any, url: str, *, copy: bool) -> AsyncIterator[Any]:
    """Open a log of three events; ``copy``: one that has an incarnation already."""
    async with EventStore.open(url) as first:
        await first.append("a/1", some(3))
        if copy:
            await first.renew_incarnation()
    async with kind.open(url, notify="none", poll=0.01) as store:
        yield store


async def test_a_log_in_its_place_that_lacks_its_projections_is_named(tmp_path: Path) -> None:
    url = LOG_URLS["postgresql"](tmp_path)
    async with EventStore.open(url, inline=[Totals()]) as store:
        await store.append("a/1", some(1))
        await renew(url, tmp_path)
        with psycopg.connect(url) as connection:
            connection.execute("DROP TABLE projection")
        for _ in range(2):
            with pytest.raises(LogReplacedError):
                await store.append("a/1", some(1))


@pytest.mark.parametrize("copy", [False, True], ids=["original", "copy"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("backend", "replace"), REPLACED)
async def test_a_store_that_stays_open_writes_nothing_into_another_copy(
    backend: str,
    replace: Callable[[str, Path], Awaitable[None]],
    kind: Any,
    copy: bool,
    tmp_path: Path,
) -> None:
    url = LOG_URLS[backend](tmp_path)
    async with opened(kind, url, copy=copy) as store:
        await store.append("a/1", some(1))
        named = store.subscribe_changes(consumer="w")
        await take(named, 1)
        before = (await store.status())["incarnation"]
        await replace(url, tmp_path)
        for _ in range(2):
            with pytest.raises(LogReplacedError) as caught:
                await store.append("a/1", some(1))
            assert (caught.value.known_incarnation or None) == before
            assert caught.value.incarnation not in {before, ""}
        with pytest.raises(LogReplacedError):
            await store.redact(1, "a person asked for it")
        with pytest.raises(LogReplacedError):
            await store.remove_consumer("w")
        # It reads what is there: each cursor is compared.
        assert positions(await collect(store.read())) == [1, 2, 3, 4]
        with pytest.raises(LogReplacedError):
            await named.ack(flush=True)
        with pytest.raises(LogReplacedError):
            await named.aclose()
    async with kind.open(url) as store:
        assert (await store.append("a/1", some(1))).position == 5
        assert (await store.verify()).ok


@pytest.mark.parametrize(("backend", "replace"), REPLACED)
async def test_a_consumer_whose_progress_is_not_stored_any_more_is_told(
    backend: str, replace: Callable[[str, Path], Awaitable[None]], tmp_path: Path
) -> None:
    url = LOG_URLS[backend](tmp_path)
    async with opened(EventStore, url, copy=False) as store:
        changes = store.subscribe_changes(consumer="w")
        await take(changes, 3)
        await replace(url, tmp_path)
        with pytest.raises(LogReplacedError):
            # It acknowledges each event by asking for the next one; there is none.
            await take(changes, 1)
        with pytest.raises(LogReplacedError):
            await changes.aclose()


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
async def test_an_empty_log_that_another_was_imported_into_is_another_log(
    backend: str, tmp_path: Path
) -> None:
    async with EventStore.open("memory://") as source:
        await source.append("a/1", some(3))
        await source.export(tmp_path / "log.export")
    url = LOG_URLS[backend](tmp_path)
    async with EventStore.open(url) as store, EventStore.open(url) as other:
        own = (await store.head()).log_id
        await other.import_from(tmp_path / "log.export")
        with pytest.raises(LogReplacedError) as caught:
            await store.append("a/1", some(1))
        assert (caught.value.known_log, caught.value.log) == (own, (await other.head()).log_id)
        # The store that has imported it knows it.
        assert (await other.append("a/1", some(1))).position == 4


def make_table(name: str, connection: Any) -> None:
    connection.exec_driver_sql(
        f"CREATE TABLE IF NOT EXISTS {name} (one SMALLINT PRIMARY KEY, id VARCHAR)"
    )


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
async def test_tables_that_appear_beside_the_log_are_no_other_copy(
    backend: str, tmp_path: Path
) -> None:
    url = LOG_URLS[backend](tmp_path)
    async with EventStore.open(url) as store:
        for name in ("mine", "yours", TABLE):
            await store.transact(partial(make_table, name))
            await store.append("a/1", some(1))
        # Without a row in it the log is what it was.
        assert (await store.append("a/1", some(1))).position == 4


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
async def test_a_program_s_own_transaction_is_refused_as_a_whole(
    backend: str, tmp_path: Path
) -> None:
    url = LOG_URLS[backend](tmp_path)
    (tmp_path / "migrations").mkdir()
    (tmp_path / "migrations" / "1.sql").write_text("CREATE TABLE t (id INTEGER PRIMARY KEY);")
    storage = SqlStorage(url)
    try:
        storage.apply_migrations(tmp_path / "migrations")
        async with EventStore.open(url) as other:
            await other.renew_incarnation()
        with pytest.raises(LogReplacedError), storage.connection() as connection:
            connection.execute("INSERT INTO t VALUES (?)", (1,))
        with storage.connection() as connection:
            assert connection.execute("SELECT * FROM t").fetchall() == []
    finally:
        storage.close()
