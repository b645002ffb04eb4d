"""A process that has the turn to write and does not end it: stopped, or a stranger's flock."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest
from support.commands import Running, make_log
from support.logs import positions, some
from support.waiting import DEADLINE, collect, wait_until

from eventstore import EventStore
from eventstore.storage.sqlite.write_turn import WriteTurn
from eventstore.system.file_lock import LockTimeoutError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

pytestmark = pytest.mark.anyio

PROGRAM = Path(__file__).parents[1] / "programs" / "lock_holder.py"


@contextmanager
def held(path: Path, suffix: str) -> Iterator[subprocess.Popen[bytes]]:
    """Let another process hold a lock of the log for the block, stopped like one in a debugger."""
    command = [sys.executable, str(PROGRAM), "hold", f"{path}{suffix}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        process.send_signal(signal.SIGSTOP)
        os.waitpid(process.pid, os.WUNTRACED)
        try:
            yield process
        finally:
            process.kill()


def is_waited_for(lock: Path) -> bool:
    """Whether the system's list of locks has a process that waits for this one."""
    waits = [line.split() for line in Path("/proc/locks").read_text().splitlines() if "->" in line]
    return any(wait[6].endswith(f":{lock.stat().st_ino}") for wait in waits)


@pytest.fixture(params=["-writer", "-gate"])
def suffix(request: pytest.FixtureRequest) -> str:
    """Which of the two locks is held."""
    return str(request.param)


@asynccontextmanager
async def with_one_event(url: str, write_wait: float) -> AsyncIterator[EventStore]:
    """Give a store that waits so long for its turn, and has written one event."""
    async with EventStore.open(url, notify="none", write_wait=write_wait) as store:
        await store.append("a/1", some(1))
        yield store


async def append_two(url: str) -> None:
    async with EventStore.open(url, notify="none") as store:
        await store.append("a/1", some(2))


async def test_opening_and_reading_take_no_lock(path: Path, url: str, suffix: str) -> None:
    await append_two(url)
    with held(path, suffix), anyio.fail_after(DEADLINE):
        async with EventStore.open(url, notify="none", write_wait=60) as store:
            assert positions(await collect(store.read())) == [1, 2]
            assert (await store.status())["position"] == 2
            assert not (await store.verify()).findings
            changes = store.subscribe_changes(follow=False)
            assert positions(await collect(changes)) == [1, 2]


@pytest.mark.parametrize("begin", ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"])
async def test_a_stranger_s_own_lock_of_sqlite_holds_up_no_reader(
    path: Path, url: str, begin: str
) -> None:
    await append_two(url)
    with closing(sqlite3.connect(path, isolation_level=None)) as stranger:
        stranger.execute(begin)
        with anyio.fail_after(DEADLINE):
            async with EventStore.open(url, notify="none") as store:
                assert positions(await collect(store.read())) == [1, 2]
                assert (await store.verify()).ok
        stranger.execute("ROLLBACK")
    async with EventStore.open(url, notify="none") as store:
        assert (await store.append("a/1", some(1))).position == 3


async def test_a_write_ends_with_an_error_that_names_the_holder(
    path: Path, url: str, suffix: str
) -> None:
    async with with_one_event(url, 0.2) as store:
        with held(path, suffix) as process:
            with pytest.raises(LockTimeoutError) as caught:
                await store.append("a/1", some(1))
            error = caught.value
            assert (error.pid, error.seconds) == (process.pid, 0.2)
            assert "lock_holder.py" in error.command
            assert "stopped" in str(error)
        assert (await store.append("a/1", some(1))).position == 2


async def test_an_append_that_is_cancelled_and_a_store_that_is_closed_wait_no_longer(
    path: Path, url: str, suffix: str
) -> None:
    async with with_one_event(url, 600) as other:
        with held(path, suffix), anyio.fail_after(DEADLINE):
            with anyio.move_on_after(0.1) as scope:
                async with EventStore.open(url, notify="none", write_wait=600) as store:
                    await store.append("a/1", some(1))
            assert scope.cancelled_caught
            with anyio.move_on_after(0.1):
                await other.append("a/1", some(1))
        # The store goes on. What was cancelled may have been written once the turn was free.
        assert (await other.append("a/1", some(1))).position in {2, 3}


async def test_the_first_opening_can_be_cancelled(path: Path, url: str, suffix: str) -> None:
    with held(path, suffix), anyio.fail_after(DEADLINE):
        with anyio.move_on_after(0.1) as scope:
            async with EventStore.open(url, notify="none", write_wait=600):
                pass
        assert scope.cancelled_caught


def test_who_waits_behind_the_gate_is_told_of_the_one_that_writes(path: Path) -> None:
    first, second = WriteTurn(path, 600), WriteTurn(path, 0.1)
    with held(path, "-writer") as process:
        first._gate.acquire()
        with pytest.raises(LockTimeoutError) as caught, second.hold():
            pass
    assert caught.value.pid == process.pid
    assert caught.value.where.endswith("-writer")
    first.close()
    second.close()


def test_a_wait_that_was_given_up_never_keeps_the_lock(path: Path) -> None:
    waiting, other = WriteTurn(path, 0.05), WriteTurn(path, 60)
    with held(path, "-writer"):
        for _ in range(3):
            with pytest.raises(LockTimeoutError), waiting.hold():
                pass
    for _ in range(100):
        with other.hold():
            pass
        with waiting.hold():
            pass
    waiting.close()
    other.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [["append", "a/1", "T", "1"], ["init"], ["sync", "rules", "--once"], ["verify"]]
)
def test_ctrl_c_ends_a_command_that_waits_for_its_turn(
    tmp_path: Path, suffix: str, words: list[str]
) -> None:
    """It is pressed once the command waits, as the system's list of locks says."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "a.yml").write_text("rule_id: R1\nrule_version: 1\n")
    path = tmp_path / "eventstore.db"
    if words[0] not in {"init", "sync"}:
        make_log(f"sqlite:///{path}")
    with held(path, suffix):
        running = Running(words, tmp_path)
        try:
            if words[0] == "verify":
                assert running.process.wait(DEADLINE) == 0
                return
            wait_until(lambda: is_waited_for(Path(f"{path}{suffix}")))
            assert running.interrupt() == 130
        finally:
            running.process.kill()
            print(running.process.communicate())
