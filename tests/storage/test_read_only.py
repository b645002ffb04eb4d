"""A log whose file the reader may not write: another user's, or on a read-only mount."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.logs import some
from support.processes import ROOT, child, environment, lines, words

from eventstore import EventStore, EventStoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]

MOUNT = 'mount --bind "$1" "$2" && mount -o remount,ro,bind "$2" && shift 2 && exec "$@"'
ROOT_ONLY = "the writer and the reader are two users, which only root can be"


@pytest.fixture
def place() -> Iterator[Path]:
    """Give a directory that every user can enter."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        yield directory
        directory.chmod(0o755)


def listing(directory: Path) -> list[tuple[str, int]]:
    """Return the names and owners of what is in a directory."""
    return sorted((path.name, path.stat().st_uid) for path in directory.iterdir())


def started(reader: Iterator[str]) -> None:
    """Expect that the reader finds the log in order, and may not append to it."""
    assert next(reader) == "faults 0"
    assert next(reader) == "refused True"


@pytest.mark.promise("creates-nothing")
@pytest.mark.skipif(os.getuid() != 0, reason=ROOT_ONLY)
@pytest.mark.parametrize("mode", [0o755, 0o777], ids=["closed directory", "open directory"])
async def test_another_user_s_log_is_followed_while_its_owner_writes(
    place: Path, mode: int
) -> None:
    url = f"sqlite:///{place}/e.db"
    async with EventStore.open(url) as store:
        place.chmod(mode)
        await store.append("a/1", some(2))
        with child("read_only_follower", url, "as-nobody") as process:
            reader = lines(process)
            started(reader)
            assert [next(reader), next(reader)] == ["1", "2"]
            for position in range(3, 8):
                await store.append("a/1", some(1))
                assert next(reader) == str(position)
        assert {owner for _, owner in listing(place)} == {0}


@pytest.mark.promise("creates-nothing")
@pytest.mark.skipif(os.getuid() != 0, reason=ROOT_ONLY)
async def test_another_user_s_log_is_followed_while_writers_come_and_go(place: Path) -> None:
    url = f"sqlite:///{place}/e.db"
    async with EventStore.open(url, notify="none") as store:
        await store.append("a/1", some(1))
    with child("read_only_follower", url, "as-nobody") as process:
        reader = lines(process)
        started(reader)
        assert next(reader) == "1"
        for position in range(2, 8):
            async with EventStore.open(url, notify="none") as store:
                await store.append("a/1", some(1))
            assert next(reader) == str(position)
    assert {owner for _, owner in listing(place)} == {0}
    # The last connection that closes removes it. Where that was a read of the follower's, which may
    # remove nothing, the next writer does.
    async with EventStore.open(url, notify="none"):
        pass
    assert not list(place.glob("e.db-wal"))


async def test_a_log_that_no_one_writes_is_read_and_nothing_is_left(place: Path) -> None:
    url = f"sqlite:///{place}/e.db"
    async with EventStore.open(url, notify="none") as store:
        await store.append("a/1", some(2))
    for path in place.iterdir():
        path.chmod(0o444)
    place.chmod(0o555)
    before = listing(place)
    with child("read_only_follower", url, "as-nobody") as process:
        reader = lines(process)
        started(reader)
        assert [next(reader), next(reader)] == ["1", "2"]
    assert listing(place) == before


def can_mount(place: Path) -> bool:
    """Return whether this process may mount a directory for itself alone."""
    target = place / "target"
    target.mkdir()
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", MOUNT, "sh", place, target, "true"],
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


def start_mounted(place: Path, target: Path, command: list[str]) -> subprocess.Popen[str]:
    """Start a command that sees ``place`` at ``target``, and may not write there."""
    return subprocess.Popen(
        ["unshare", "-rm", "sh", "-c", MOUNT, "sh", place, target, *command],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.promise("creates-nothing")
async def test_a_log_on_a_read_only_mount_is_followed(place: Path, tmp_path: Path) -> None:
    try:
        allowed = can_mount(tmp_path)
    except FileNotFoundError:
        allowed = False
    if not allowed:
        pytest.skip("this system lets no user mount a directory for itself alone")
    target = tmp_path / "mounted"
    target.mkdir()
    url = f"sqlite:///{place}/e.db"
    command = words("read_only_follower", f"sqlite:///{target}/e.db")
    async with EventStore.open(url) as store:
        await store.append("a/1", some(1))
    process = start_mounted(place, target, command)
    try:
        reader = lines(process)
        started(reader)
        assert next(reader) == "1"
        async with EventStore.open(url) as store:
            for position in range(2, 6):
                await store.append("a/1", some(1))
                assert next(reader) == str(position)
    finally:
        process.kill()
        process.communicate()


async def test_a_backup_of_a_log_that_may_not_be_written_is_whole(place: Path) -> None:
    from eventstore.storage.sqlite import _file_copy

    url = f"sqlite:///{place}/e.db"
    async with EventStore.open(url) as store:
        await store.append("a/1", some(3))
    copied = _file_copy._backup_unlocked(
        place / "e.db", place / "copy.db", lambda *_: None, replace=False
    )
    assert copied == 3
    async with EventStore.open(f"sqlite:///{place}/copy.db", create=False) as store:
        assert (await store.verify()).findings == ()
    with pytest.raises(EventStoreError):
        _file_copy._backup_unlocked(
            place / "none.db", place / "other.db", lambda *_: None, replace=False
        )
