"""File locks: exclusive between processes, bounded waits, a note that names the holder."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from eventstore.system.file_lock import (
    FileLock,
    LockCancelledError,
    LockTimeoutError,
    read_held_note,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lock"


PROGRAM = Path(__file__).parents[1] / "programs" / "lock_holder.py"


@contextmanager
def hold_in_process(path: Path) -> Iterator[int]:
    """Hold the lock in another process for the block, then kill it; gives its process id."""
    command = [sys.executable, str(PROGRAM), "hold", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield process.pid
        process.kill()


@contextmanager
def held(path: Path, note: bytes = b"") -> Iterator[FileLock]:
    with closing(FileLock(path)) as lock:
        assert lock.try_acquire()
        if note:
            lock.write_note(note)
        yield lock


def test_two_instances_exclude_each_other_until_one_is_released(path: Path) -> None:
    with held(path) as first, closing(FileLock(path)) as second:
        assert not second.try_acquire()
        first.release()
        assert second.try_acquire()


def test_a_bounded_wait_names_the_holder_by_its_note(path: Path) -> None:
    with held(path, b"host:17"), closing(FileLock(path)) as lock:
        with pytest.raises(LockTimeoutError, match=r"lock: is locked by host:17") as caught:
            lock.acquire(timeout=0)
        assert caught.value.holder == "host:17"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/locks")
def test_without_a_note_the_holder_is_named_by_its_process(path: Path) -> None:
    with hold_in_process(path) as pid, closing(FileLock(path)) as lock:
        with pytest.raises(LockTimeoutError) as caught:
            lock.acquire(timeout=0.01)
        assert caught.value.holder == f"process {pid}"


def test_a_lock_is_free_once_its_process_was_killed(path: Path) -> None:
    with hold_in_process(path):
        pass
    with closing(FileLock(path)) as lock:
        lock.acquire(timeout=30)


def test_a_bounded_wait_takes_a_lock_that_becomes_free(path: Path) -> None:
    with held(path) as first, closing(FileLock(path)) as second:
        waiter = threading.Thread(target=second.acquire, args=[60])
        waiter.start()
        first.release()
        waiter.join(60)
        assert not first.try_acquire()


def test_a_wait_can_be_cancelled(path: Path) -> None:
    cancelled, outcome = threading.Event(), []

    def wait() -> None:
        with closing(FileLock(path)) as lock, pytest.raises(LockCancelledError) as caught:
            lock.acquire(cancelled=cancelled)
        outcome.append(caught.type)

    with held(path):
        waiter = threading.Thread(target=wait)
        waiter.start()
        cancelled.set()
        waiter.join(60)
    assert outcome == [LockCancelledError]


def test_the_note_is_read_only_while_the_lock_is_held(path: Path) -> None:
    with held(path, b"a long note"):
        assert read_held_note(path) == b"a long note"
    assert read_held_note(path) is None


def test_a_shorter_note_covers_the_longer_one_before(path: Path) -> None:
    with held(path, b"a long note") as lock:
        lock.write_note(b"short")
        assert lock.read_note().rstrip() == b"short"


def test_a_forked_child_neither_holds_nor_keeps_the_lock(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, PROGRAM, "fork", path],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "free while the child lives\n"), done.stderr
