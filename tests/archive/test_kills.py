"""A process killed while it moves a log: a whole file or none, the log before or after it."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING

import pytest
from support.audit import audit
from support.logs import positions, some
from support.processes import child, wait_for
from support.waiting import collect

from eventstore import EventStore

if TYPE_CHECKING:
    from pathlib import Path

# What is killed is a process of its own: the loop of the test makes no difference.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.anyio,
    pytest.mark.parametrize("anyio_backend", ["asyncio"]),
]


def kill_in(what: str, url: str, folder: Path, number: int) -> None:
    """Kill a process a while after it began to do it for the ``number``-th time, or in the first.

    Counts say how far it has come; the while, which differs each time, where within it dies.
    """
    with child("moving_loop", url, what, folder) as process:
        wait_for(process, "0" if what == "import" else str(number // 2))
        with suppress(subprocess.TimeoutExpired):
            process.wait(number % 4 * 0.05)
        process.kill()


@pytest.fixture(params=[3, pytest.param(8, marks=pytest.mark.slow)])
def rounds(request: pytest.FixtureRequest) -> int:
    """Give how often a process is killed."""
    return int(request.param)


async def fill(store: EventStore, commits: int, size: int) -> None:
    """Append so many commits of so many events each."""
    for _ in range(commits):
        await store.append("a/1", some(size))


async def test_a_killed_export_leaves_a_whole_one_or_none(
    url: str, tmp_path: Path, rounds: int
) -> None:
    async with EventStore.open(url) as store:
        await fill(store, 10, 700)
    for number in range(rounds):
        kill_in("export", url, tmp_path, number)
        if (tmp_path / "out").exists():
            async with EventStore.open("memory://") as copy:
                assert (await copy.import_from(tmp_path / "out")).events == 7000


@pytest.mark.promise("moving")
async def test_a_killed_import_leaves_an_empty_log(url: str, tmp_path: Path, rounds: int) -> None:
    async with EventStore.open("memory://") as store:
        await fill(store, 20, 1000)
        await store.export(tmp_path / "in.export")
    found = set[int]()
    for number in count():
        # A machine may be too busy to kill before the end: that is tried until it worked.
        if number >= rounds and (0 in found or number == 100):
            break
        target = tmp_path / f"{number}.db"
        kill_in("import", f"sqlite:///{target}", tmp_path, number)
        async with EventStore.open(f"sqlite:///{target}") as log:
            position = (await log.head()).position
            found.add(position)
            if position == 0:
                await log.import_from(tmp_path / "in.export")
        assert audit(target) == 20_000
    assert found <= {0, 20_000}
    assert 0 in found


@pytest.mark.promise("moving")
async def test_a_killed_trim_leaves_the_log_before_or_after_it(
    url: str, tmp_path: Path, rounds: int
) -> None:
    async with EventStore.open(url) as store:
        await fill(store, 12, 700)
    firsts = set()
    for number in range(rounds):
        kill_in("trim", url, tmp_path, number)
        async with EventStore.open(url) as store:
            head = await store.head()
            firsts.add(head.first_position)
            left = positions(await collect(store.read(after=head.first_position - 1)))
            assert left == list(range(head.first_position, head.position + 1))
            # The chain and the commits are whole: an export checks them.
            await store.export(tmp_path / f"check{number}")
            notices = [e async for e in store.read(streams="log/trims", kept=True)]
            assert all((tmp_path / e.data["archive"]).exists() for e in notices)
            if notices:
                assert notices[-1].data["first_position"] == head.first_position
    assert len(firsts) > 1


@pytest.mark.promise("moving")
async def test_a_killed_restore_leaves_one_log_or_the_other(
    path: Path, url: str, tmp_path: Path, rounds: int
) -> None:
    async with EventStore.open(url) as store:
        for number in range(2):
            await fill(store, 3, 1000)
            await store.backup(tmp_path / f"{number}.copy")
    found = set()
    for number in range(rounds):
        kill_in("restore", url, tmp_path, number)
        found.add(audit(path))
    assert found <= {3000, 6000}
