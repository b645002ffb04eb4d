"""A backup that is given to ``import``, an export that is given to ``restore``: both are named."""

from __future__ import annotations

import io
import shutil
from typing import TYPE_CHECKING

import pytest
from support.logs import some

from eventstore import ArchiveError, Cursor, EventStore, StorageError
from eventstore.archive.log_import import open_export

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]


@pytest.fixture
async def files(tmp_path: Path, url: str) -> dict[str, Path]:
    """Make a log, and each kind of file that is made of one."""
    names = {name: tmp_path / name for name in ("backup", "export", "archive", "copy")}
    async with EventStore.open(url) as store:
        await store.append("a/1", some(3))
        await store.append("a/1", some(2))
        await store.backup(names["backup"])
        await store.export(names["export"])
        await store.trim(4, archive=names["archive"])
    shutil.copy(tmp_path / "events.db", names["copy"])
    return names


async def cursor(url: str) -> Cursor:
    async with EventStore.open(url) as store:
        return (await store.head()).cursor


@pytest.mark.parametrize("kind", ["export", "archive"])
async def test_restore_says_that_an_export_is_imported(
    files: dict[str, Path], path: Path, url: str, kind: str
) -> None:
    before = await cursor(url)
    for target in (url, f"sqlite:///{path.with_name('new.db')}"):
        with pytest.raises(StorageError, match="it is an export, no backup: 'eventstore import'"):
            await EventStore.restore(files[kind], target, replace=True)
    assert await cursor(url) == before
    assert not path.with_name("new.db").exists()


@pytest.mark.parametrize("kind", ["backup", "copy"])
async def test_import_says_that_a_backup_is_restored(files: dict[str, Path], kind: str) -> None:
    said = "it is a SQLite file, no export: a backup is put back by 'eventstore restore'"
    with pytest.raises(ArchiveError, match=said):
        open_export(files[kind])
    async with EventStore.open("memory://") as store:
        for source in (files[kind], io.BytesIO(files[kind].read_bytes())):
            with pytest.raises(ArchiveError, match=said) as caught:
                await store.import_from(source)
            assert caught.value.offset == 0
