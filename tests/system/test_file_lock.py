"""File locks: exclusive between processes, bounded waits, a note that names the holder."""

import errno
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from support.waiting import DEADLINE

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


def run_program(what: str, path: Path, timeout: float) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PROGRAM), what, str(path)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=timeout)


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
        error = caught.value
        assert (error.pid, error.host, error.seconds) == (pid, socket.gethostname(), 0.01)
        assert "lock_holder.py hold" in error.command
        assert error.holder == f"process {pid} ({error.command})"


def test_a_lock_is_free_once_its_process_was_killed(path: Path) -> None:
    with hold_in_process(path):
        pass
    with closing(FileLock(path)) as lock:
        lock.acquire(timeout=DEADLINE)


def test_a_bounded_wait_takes_a_lock_that_becomes_free(path: Path) -> None:
    with held(path) as first, closing(FileLock(path)) as second:
        waiter = threading.Thread(target=second.acquire, args=[60])
        waiter.start()
        first.release()
        waiter.join(DEADLINE)
        assert not first.try_acquire()


def test_a_wait_can_be_cancelled(path: Path) -> None:
    cancelled, outcome = threading.Event(), []

    def wait() -> None:
        def check() -> None:
            if cancelled.is_set():
                raise LockCancelledError(path)

        with closing(FileLock(path)) as lock, pytest.raises(LockCancelledError) as caught:
            lock.acquire(check=check)
        outcome.append(caught.type)

    with held(path):
        waiter = threading.Thread(target=wait)
        waiter.start()
        cancelled.set()
        waiter.join(DEADLINE)
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
    done = run_program("fork", path, DEADLINE)
    assert (done.returncode, done.stdout) == (0, "free while the child lives\n"), done.stderr


def test_a_fork_during_a_wait_leaves_the_wait_to_the_parent_alone(path: Path) -> None:
    done = run_program("fork-waiting", path, 120)
    expected = "refused=True held=True taken=True\n"
    assert (done.returncode, done.stdout) == (0, expected), done.stderr


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o644])
def test_a_lock_file_has_the_permissions_of_the_file_it_is_for(tmp_path: Path, mode: int) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "file").chmod(mode)
    with closing(FileLock(tmp_path / "lock", tmp_path / "file")) as lock:
        assert stat.S_IMODE(lock.path.stat().st_mode) == mode


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_a_lock_file_made_by_root_belongs_to_the_owner_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    os.chown(tmp_path / "file", 65534, 65534)
    with closing(FileLock(tmp_path / "lock", tmp_path / "file")) as lock:
        status = lock.path.stat()
    assert (status.st_uid, status.st_gid) == (65534, 65534)


def test_a_lock_file_that_may_only_be_read_is_locked(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.touch()
    opened = os.open

    def refuse(name: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if flags & os.O_RDWR and not flags & os.O_CREAT:
            raise PermissionError(errno.EACCES, "denied", name)
        return opened(name, flags, mode, dir_fd=dir_fd)

    with held(path):
        monkeypatch.setattr(os, "open", refuse)
        with closing(FileLock(path)) as lock:
            assert not lock.try_acquire()


@pytest.mark.parametrize("kind", ["link", "pipe", "directory"])
def test_what_is_no_file_of_its_own_is_no_lock(path: Path, tmp_path: Path, kind: str) -> None:
    if kind == "link":
        (tmp_path / "victim").write_bytes(b"theirs")
        path.symlink_to("victim")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(OSError):  # noqa: PT011 - each kind has another error
        FileLock(path)


def test_a_wait_that_is_taken_up_again_gets_the_lock(path: Path) -> None:
    with held(path) as first, closing(FileLock(path)) as second:
        for _ in range(3):
            with pytest.raises(LockTimeoutError):
                second.acquire(timeout=0.01)
            assert not second.try_acquire()
        first.release()
        second.acquire(timeout=DEADLINE)
        assert not first.try_acquire()
        second.release()
        assert first.try_acquire()


def test_a_lock_that_is_closed_during_a_wait_is_left_to_others(path: Path) -> None:
    with held(path) as first:
        second = FileLock(path)
        with pytest.raises(LockTimeoutError):
            second.acquire(timeout=0.01)
        second.close()
        first.release()
        first.acquire(timeout=DEADLINE)
