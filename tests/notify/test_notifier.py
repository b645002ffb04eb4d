"""The file notifier is a hint: it may fail, vanish or be late, and nothing is lost."""

from __future__ import annotations

import logging
import shutil
from typing import TYPE_CHECKING

import anyio
import pytest
from support.logs import follows_each, positions, some, woken
from support.waiting import DEADLINE, take

from eventstore import EventStore
from eventstore.notify._file import FileNotifier

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio


@pytest.fixture
def notify_directory(path: Path) -> Path:
    """Name the directory that the notifier watches."""
    return path.with_name(path.name + "-notify")


def vanish(directory: Path, how: str) -> None:
    """Do to the watched directory what blinds a watch."""
    if how == "renamed away":
        directory.rename(directory.with_name("gone"))
    else:
        shutil.rmtree(directory)
    if how == "removed, and back at once":
        directory.mkdir()


async def test_a_notifier_that_cannot_write_fails_no_append(
    path: Path, url: str, notify_directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await anyio.Path(notify_directory).write_text("a file is in the way")
    async with EventStore.open(url, poll=0.02) as store, EventStore.open(url) as other:
        subscription = store.subscribe_changes()
        for position in range(1, 4):
            await other.append("a/1", some(1))
            assert positions(await take(subscription, 1)) == [position]
        assert (await store.status())["trouble"]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


async def test_a_notifier_that_raises_fails_no_append(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with EventStore.open(url) as store:

        def fail(_self: FileNotifier, _position: int) -> None:
            raise RuntimeError("the notifier is broken")

        monkeypatch.setattr(FileNotifier, "publish", fail)
        for position in (1, 2):
            with anyio.fail_after(DEADLINE):
                assert (await store.append("a/1", some(1))).position == position


@pytest.mark.parametrize("how", ["removed", "renamed away", "removed, and back at once"])
async def test_a_notify_directory_that_goes_is_watched_again(
    url: str, notify_directory: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventstore.system.directory_watch.RETRY_SECONDS", 0.05)
    async with EventStore.open(url, poll=3600) as store, EventStore.open(url) as other:
        subscription = store.subscribe_changes()
        await other.append("a/1", some(1))
        await take(subscription, 1)
        await woken(subscription, other)
        vanish(notify_directory, how)
        await woken(subscription, other)


@pytest.mark.promise("subscription")
async def test_the_timed_read_alone_suffices(url: str) -> None:
    async with (
        EventStore.open(url, notify="none", poll=0.02) as store,
        EventStore.open(url, notify="none") as other,
    ):
        await follows_each(store, other)
