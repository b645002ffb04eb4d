"""The schema: the same however a log came to it, and never half changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest
from support.logs import LASTING, LOG_URLS, data, positions, some
from support.old_logs import NAMES as OLD_LOGS
from support.old_logs import copy_old_log
from support.plain import catalog, dialect, plain
from support.waiting import collect

from eventstore import EventStore, NoLogError, StorageError
from eventstore.log.hash_chain import genesis
from eventstore.storage import migrations
from eventstore.storage.migrations import Migration, known

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio

LOG_ID = "01a1fc54-320c-719d-8770-10863a3d59c8"


@pytest.fixture(params=LASTING)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Name a log that is not there yet."""
    return LOG_URLS[request.param](tmp_path)


def make_first_schema(url: str) -> None:
    """Make what the first version of the program made: no ledger, one head row."""
    first = known(dialect(url))[0]
    with plain(url) as connection:
        if dialect(url) == "sqlite":
            connection.executescript(first.sql)
        else:
            connection.execute(first.sql)
        mark = "?" if dialect(url) == "sqlite" else "%s"
        connection.execute(
            f"INSERT INTO head VALUES (1, 1, '{LOG_ID}', 1, 0, 0, {mark})", (genesis(LOG_ID),)
        )


def ledger(url: str) -> list[tuple[Any, ...]]:
    with plain(url) as connection:
        rows = connection.execute("SELECT number, name, checksum FROM migration ORDER BY number")
        return [tuple(row) for row in rows.fetchall()]


async def open_and_close(url: str) -> None:
    async with EventStore.open(url, notify="none"):
        pass


@pytest.mark.parametrize("name", LASTING)
def test_migrations_are_numbered_without_a_gap_and_alike_on_both(name: str) -> None:
    steps = known(name)
    assert [step.number for step in steps] == list(range(1, len(steps) + 1))
    assert [step.name for step in steps] == [step.name for step in known("sqlite")]


async def test_a_log_of_the_first_schema_becomes_what_a_new_one_is(
    url: str, tmp_path: Path
) -> None:
    make_first_schema(url)
    await open_and_close(url)
    fresh = LOG_URLS[dialect(url)](tmp_path / "fresh")
    await anyio.Path(tmp_path / "fresh").mkdir()
    await open_and_close(fresh)
    assert catalog(url) == catalog(fresh)
    assert len(catalog(url)) > 10
    assert ledger(url) == ledger(fresh)
    assert [row[0] for row in ledger(url)] == [step.number for step in known(dialect(url))]


@pytest.mark.parametrize("name", OLD_LOGS)
async def test_a_log_that_an_earlier_version_wrote_becomes_what_a_new_one_is(
    name: str, tmp_path: Path
) -> None:
    old, fresh = copy_old_log(name, tmp_path).url, f"sqlite:///{tmp_path}/fresh.db"
    await open_and_close(old)
    await open_and_close(fresh)
    ours = {row[1] for row in catalog(fresh)}
    # What a view added to the file is the view's own.
    assert [row for row in catalog(old) if row[1] in ours or row[0] == "trigger"] == catalog(fresh)


async def test_an_upgraded_log_keeps_its_identity_and_goes_on(url: str) -> None:
    make_first_schema(url)
    async with EventStore.open(url) as store:
        assert (await store.head()).log_id == LOG_ID
        await store.append("a/1", some(2))
        assert positions(await collect(store.read())) == [1, 2]


async def test_a_migration_that_was_edited_after_it_was_applied_is_refused(url: str) -> None:
    await open_and_close(url)
    with plain(url) as connection:
        connection.execute("UPDATE migration SET checksum = 'other' WHERE number = 2")
    with pytest.raises(StorageError, match="0002"):
        await open_and_close(url)


async def test_a_schema_that_is_newer_is_refused_and_left_alone(url: str) -> None:
    await open_and_close(url)
    with plain(url) as connection:
        connection.execute("INSERT INTO migration VALUES (99, '0099_future', 'x', 0)")
        connection.execute("UPDATE head SET schema_version = 99")
    before = catalog(url)
    with pytest.raises(StorageError, match="upgrade the program"):
        await open_and_close(url)
    assert catalog(url) == before


async def open_with_a_broken_migration(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = known(dialect(url))
    number = len(steps) + 1
    broken = Migration(number, "broken", "CREATE TABLE left_over (x INTEGER);\nCREATE NONSENSE;\n")
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "known", lambda _: (*steps, broken))
        with pytest.raises(StorageError, match="syntax error"):
            await open_and_close(url)


async def test_a_migration_that_fails_leaves_nothing_of_itself(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with EventStore.open(url, notify="none") as store:
        await store.append("a/1", some(2))
    before = catalog(url), ledger(url)
    await open_with_a_broken_migration(url, monkeypatch)
    assert (catalog(url), ledger(url)) == before
    async with EventStore.open(url, notify="none") as store:
        assert data(await collect(store.read())) == [0, 1]


async def test_a_log_is_made_whole_or_not_at_all(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    await open_with_a_broken_migration(url, monkeypatch)
    with pytest.raises(NoLogError):
        async with EventStore.open(url, notify="none", create=False):
            pass
    await open_and_close(url)
    assert [row[0] for row in ledger(url)] == [step.number for step in known(dialect(url))]


async def test_many_that_open_a_new_log_at_once_make_it_once(url: str) -> None:
    async with anyio.create_task_group() as tasks:
        for _ in range(6):
            tasks.start_soon(open_and_close, url)
    assert [row[0] for row in ledger(url)] == [step.number for step in known(dialect(url))]
