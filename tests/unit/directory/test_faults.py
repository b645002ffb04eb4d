"""A runner whose file system fails goes on once the cause has passed."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import anyio
import pytest
from support.rule_events import definition_data
from support.waiting import until

from eventstore import EventStore, NewEvent
from projections import DirectoryProjection, ProjectionRunner
from projections.directory._safe_tree import SafeTree
from projections.directory.manifest import MANIFEST

if TYPE_CHECKING:
    from pathlib import Path


def is_published(root: Path, name: str) -> bool:
    """Whether the manifest, which is written last, lists a file."""
    manifest = root / MANIFEST
    return manifest.exists() and f'"{name}"'.encode() in manifest.read_bytes()


@pytest.mark.anyio
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EACCES, errno.EMFILE])
async def test_a_failure_of_the_file_system_is_waited_for(
    code: int, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail = False
    real = SafeTree.stage

    def stage(tree: SafeTree, content: bytes, **how: bool) -> str:
        if fail:
            raise OSError(code, os.strerror(code))
        return real(tree, content, **how)

    monkeypatch.setattr(SafeTree, "stage", stage)
    async with EventStore.open("memory://") as store, anyio.create_task_group() as tasks:
        keeper = ProjectionRunner(store, DirectoryProjection(root), heal_seconds=0.01)
        tasks.start_soon(keeper.run)
        await store.append("rule/R1", [NewEvent("RuleDefined", definition_data("R1", "a", b"1"))])
        await until(lambda: is_published(root, "a"))
        fail = True
        await store.append("rule/R2", [NewEvent("RuleDefined", definition_data("R2", "b", b"2"))])
        await until(lambda: os.strerror(code) in keeper.trouble)
        assert (root / "a").read_bytes() == b"1"
        assert not (root / "b").exists()
        fail = False
        await until((root / "b").exists)
        await until(lambda: not keeper.trouble)
        tasks.cancel_scope.cancel()
