"""A forked child starts with what it may use: locks are free, tracked objects are renewed."""

import os
import threading
from collections.abc import Callable

from eventstore.system import fork_hooks
from eventstore.system.fork_hooks import ForkLock


class Tracked:
    def __init__(self, *, fails: bool = False) -> None:
        self.renewed = False
        self._fails = fails

    def after_fork(self) -> None:
        if self._fails:
            raise RuntimeError("this hook fails")
        self.renewed = True


def run_in_fork(check: Callable[[], bool]) -> int:
    """Fork, and return the child's exit status: 0 where ``check`` returned true."""
    child = os.fork()
    if child == 0:
        status = 2
        try:
            status = 0 if check() else 1
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_tracked_objects_are_renewed_in_the_child_only() -> None:
    thing = Tracked()
    fork_hooks.track(thing)
    assert run_in_fork(lambda: thing.renewed) == 0
    assert not thing.renewed


def test_an_untracked_object_is_left_alone() -> None:
    thing = Tracked()
    fork_hooks.track(thing)
    fork_hooks.untrack(thing)
    assert run_in_fork(lambda: not thing.renewed) == 0


def test_a_hook_that_fails_keeps_no_other_from_running() -> None:
    things = [Tracked(fails=True), *(Tracked() for _ in range(3)), Tracked(fails=True)]
    for thing in things:
        fork_hooks.track(thing)
    assert run_in_fork(lambda: all(thing.renewed for thing in things[1:4])) == 0


def test_a_lock_that_another_thread_held_is_free_in_the_child() -> None:
    lock, taken, done = ForkLock(), threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            taken.set()
            done.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    taken.wait(60)

    def enter() -> bool:
        with lock:
            return True

    try:
        assert run_in_fork(enter) == 0
    finally:
        done.set()
        holder.join()
