"""Files of an open log that are removed, replaced, emptied or linked: refused, and nothing lost."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest
from support.audit import audit
from support.logs import positions, some
from support.processes import child, lines, stop
from support.waiting import collect

from eventstore import EventStore
from eventstore.errors import FileChangedError, LinkedFileError, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]

PROGRAMS = Path(__file__).parent.parent / "programs"


def named(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def replace(path: Path) -> None:
    """Put another file of the same content there, as a restored backup would be."""
    shutil.copy(path, named(path, ".new"))
    named(path, ".new").replace(path)


def link_elsewhere(path: Path) -> None:
    shutil.copy(path, named(path, ".new"))
    path.unlink()
    path.symlink_to(named(path, ".new"))


def rename_parent(path: Path) -> None:
    path.parent.rename(path.parent.with_name("renamed"))


CHANGES: list[tuple[str, Callable[[Path], object], str]] = [
    ("", lambda path: path.unlink(), "removed"),
    ("", replace, "replaced"),
    ("", link_elsewhere, "replaced"),
    ("", rename_parent, "removed"),
    ("", lambda path: os.truncate(path, 0), "emptied"),
    ("-wal", lambda path: path.unlink(), "removed"),
    ("-wal", replace, "replaced"),
    ("-shm", lambda path: path.unlink(), "removed"),
    ("-shm", replace, "replaced"),
]
NAMES = [f"{change}{suffix}-{number}" for number, (suffix, _, change) in enumerate(CHANGES)]


@pytest.mark.parametrize(("suffix", "change", "kind"), CHANGES, ids=NAMES)
async def test_a_changed_file_is_refused_by_writers_readers_and_followers(
    tmp_path: Path, suffix: str, change: Callable[[Path], object], kind: str
) -> None:
    path = tmp_path / "place" / "e.db"
    path.parent.mkdir()
    url = f"sqlite:///{path}"
    async with (
        EventStore.open(url, notify="none") as writer,
        EventStore.open(url, notify="none", poll=0.01) as reader,
    ):
        await writer.append("a/1", some(2))
        assert positions(await collect(reader.read())) == [1, 2]
        change(named(path, suffix))
        for use in (
            lambda: writer.append("a/1", some(1)),
            lambda: collect(writer.read()),
            lambda: collect(reader.read()),
            reader.head,
        ):
            with pytest.raises(FileChangedError) as caught:
                await use()
            assert (caught.value.change, caught.value.file) == (kind, str(named(path, suffix)))


async def test_what_is_removed_in_the_middle_of_a_commit_is_not_acknowledged(
    path: Path, url: str
) -> None:
    class Remover:
        name = "remover"

        def setup(self, connection: object) -> None: ...

        def cursor(self, connection: object) -> None: ...

        def apply(self, connection: object, events: object, cursor: object) -> None:
            if removes:
                named(path, "-wal").unlink(missing_ok=True)

    removes = False
    async with EventStore.open(url, notify="none", inline=[Remover()]) as store:
        await store.append("a/1", some(1))
        removes = True
        with pytest.raises(FileChangedError, match="-wal"):
            await store.append("a/1", some(1))


async def test_appends_before_the_write_ahead_log_was_removed_are_saved(
    path: Path, url: str
) -> None:
    async with EventStore.open(url, notify="none") as store:
        await store.append("a/1", some(5))
        named(path, "-wal").unlink()
        with pytest.raises(FileChangedError):
            await store.append("a/1", some(1))
    # The append that was refused may be among them: its outcome was unknown.
    assert audit(path) in {5, 6}


async def test_closing_leaves_the_write_ahead_log_of_the_file_that_came_instead(
    tmp_path: Path,
) -> None:
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    async with EventStore.open(f"sqlite:///{old}", notify="none") as store:
        await store.append("a/1", some(2))
        async with EventStore.open(f"sqlite:///{new}", notify="none") as other:
            await other.append("b/1", some(3))
        new.replace(old)
        named(old, "-wal").unlink()
        named(old, "-shm").unlink()
        with child("acknowledging_writer", f"sqlite:///{old}", "b") as process:
            lines_ = lines(process)
            first = int(next(lines_).split()[0])
            await store.aclose()
            last = first
            for _ in range(20):
                last = int(next(lines_).split()[0])
            process.kill()
    assert audit(old) >= last > first > 3


async def test_a_second_process_is_refused_where_the_write_ahead_log_of_the_first_is_gone(
    path: Path, url: str
) -> None:
    with child("acknowledging_writer", url, "b") as process:
        lines_ = lines(process)
        next(lines_)
        stop(process)
        named(path, "-wal").unlink()
        with pytest.raises(FileChangedError) as caught:
            async with EventStore.open(url, notify="none"):
                pass
        assert caught.value.pid == process.pid


@pytest.mark.parametrize("is_open", [True, False])
async def test_a_second_link_is_refused_while_the_first_is_in_use(
    path: Path, url: str, *, is_open: bool, caplog: pytest.LogCaptureFixture
) -> None:
    link = path.with_name("link.db")
    async with EventStore.open(url, notify="none") as store:
        await store.append("a/1", some(1))
        if is_open:
            link.hardlink_to(path)
            with pytest.raises(LinkedFileError) as caught:
                async with EventStore.open(f"sqlite:///{link}", notify="none"):
                    pass
            assert (caught.value.links, caught.value.other) == (2, str(path))
            await store.append("a/1", some(1))
    if not is_open:
        link.hardlink_to(path)
        async with EventStore.open(f"sqlite:///{link}", notify="none") as store:
            assert (await store.append("a/1", some(1))).position == 2
        assert "2 links" in caplog.text


async def test_a_link_in_another_directory_is_refused_while_the_first_is_open(
    path: Path, url: str, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with child("acknowledging_writer", url, "b") as process:
        next(lines(process))
        (elsewhere / "e.db").hardlink_to(path)
        with pytest.raises(LinkedFileError, match=f"process {process.pid}"):
            async with EventStore.open(f"sqlite:///{elsewhere}/e.db", notify="none"):
                pass
        process.kill()


async def test_a_parent_that_is_renamed_and_linked_is_the_same_place(tmp_path: Path) -> None:
    path = tmp_path / "place" / "e.db"
    path.parent.mkdir()
    async with EventStore.open(f"sqlite:///{path}", notify="none") as store:
        await store.append("a/1", some(1))
        path.parent.rename(tmp_path / "renamed")
        with pytest.raises(FileChangedError):
            await store.append("a/1", some(1))
        (tmp_path / "place").symlink_to("renamed")
        await store.append("a/1", some(1))
        assert len(await collect(store.read())) == 2


@pytest.mark.slow
async def test_a_directory_that_is_mounted_at_two_places_has_one_log(tmp_path: Path) -> None:
    may = await anyio.run_process(["unshare", "--mount", "true"], check=False)
    if may.returncode:
        pytest.skip(f"this user may not mount: {may.stderr.decode().strip()}")
    program = [sys.executable, PROGRAMS / "bind_mount.py", tmp_path]
    done = await anyio.run_process(
        ["unshare", "--mount", *map(str, program)],
        check=False,
        env={**os.environ, "PYTHONPATH": str(PROGRAMS.parent)},
    )
    expected = [[1, 2, 3, 4, 5]] * 2
    assert (done.returncode, done.stdout.decode()) == (0, f"{expected}\n"), done.stderr.decode()
    assert audit(tmp_path / "first" / "e.db") == 5


async def test_stores_that_come_and_go_never_take_each_other_for_changed(url: str) -> None:
    async def come_and_go(number: int) -> None:
        for _ in range(15):
            async with EventStore.open(url, notify="none") as store:
                await store.append(f"a/{number}", some(1))
                await store.head()

    async with anyio.create_task_group() as tasks:
        for number in range(4):
            tasks.start_soon(come_and_go, number)
    async with EventStore.open(url, notify="none") as store:
        assert (await store.head()).position == 60
        with pytest.raises(StorageError):
            async with EventStore.open("sqlite:////nowhere/e.db"):
                pass
