"""Copies of a private log are private: backup, export, and the archive of a trim."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from eventstore import EventStore, NewEvent

if TYPE_CHECKING:
    from pathlib import Path


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.anyio
@pytest.mark.parametrize("mode", [0o600, 0o640])
async def test_each_copy_has_the_permissions_of_the_log(tmp_path: Path, mode: int) -> None:
    log = tmp_path / "events.db"
    log.touch(mode)
    async with EventStore.open(f"sqlite:///{log}", notify="none") as store:
        for number in range(3):
            await store.append("s/1", [NewEvent("T", number)])
        await store.backup(tmp_path / "backup.db")
        await store.export(tmp_path / "export")
        trimmed = await store.trim(2, archive=tmp_path / "archive")
    assert trimmed.events == 1
    copies = [tmp_path / name for name in ("backup.db", "export", "archive")]
    assert [mode_of(copy) for copy in copies] == [mode] * 3


@pytest.mark.anyio
async def test_a_copy_that_is_replaced_keeps_its_own_permissions(tmp_path: Path) -> None:
    backup = tmp_path / "backup.db"
    async with EventStore.open(f"sqlite:///{tmp_path}/events.db", notify="none") as store:
        await store.append("s/1", [NewEvent("T", 1)])
        await store.backup(backup)
        backup.chmod(0o600)
        await store.backup(backup, replace=True)
    assert mode_of(backup) == 0o600


@pytest.mark.anyio
async def test_a_restored_log_is_as_private_as_its_backup(tmp_path: Path) -> None:
    backup, log = tmp_path / "backup.db", tmp_path / "restored.db"
    async with EventStore.open(f"sqlite:///{tmp_path}/events.db", notify="none") as store:
        await store.append("s/1", [NewEvent("T", 1)])
        await store.backup(backup)
    backup.chmod(0o600)
    await EventStore.restore(backup, f"sqlite:///{log}")
    assert mode_of(log) == 0o600
