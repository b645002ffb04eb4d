"""What a forked child has to forget or renew: the tree's only ``os.register_at_fork``.

A child inherits open files, sockets and locks, but only the thread that forked. Locks of open
files, sessions of servers and threads therefore have to be dropped or made anew in the child.
"""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING, Final, Protocol, TypeVar
from weakref import WeakSet

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)
F = TypeVar("F", bound="Callable[[], None]")


class Forkable(Protocol):
    """An object that a forked child must not use as it inherited it."""

    def after_fork(self) -> None:
        """Drop or renew what the child inherited; called in the child, which has one thread."""


_functions: Final[list[Callable[[], None]]] = []
_before: Final[list[Callable[[], None]]] = []
_after: Final[list[Callable[[], None]]] = []
_objects: Final[WeakSet[Forkable]] = WeakSet()
_forks = 0


def count() -> int:
    """Return how many forks lie between this process and the one that first imported this."""
    return _forks


def run_in_child(function: F) -> F:
    """Call ``function`` in each forked child; may be used as a decorator."""
    _functions.append(function)
    return function


def run_before(function: F) -> F:
    """Call ``function`` in the parent before each fork; may be used as a decorator."""
    _before.append(function)
    return function


def run_after(function: F) -> F:
    """Call ``function`` in the parent after each fork; may be used as a decorator."""
    _after.append(function)
    return function


def track(thing: Forkable) -> None:
    """Call ``thing.after_fork()`` in each forked child, until it is untracked or collected."""
    _objects.add(thing)


def untrack(thing: Forkable) -> None:
    """Leave ``thing`` out again; does nothing where it is not tracked."""
    _objects.discard(thing)


class ForkLock:
    """A reentrant lock that is free in a forked child, also if a thread of the parent held it."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        track(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def after_fork(self) -> None:
        """Begin anew."""
        self._lock = threading.RLock()


def _after_fork() -> None:
    global _forks  # noqa: PLW0603 - there is one per process
    _forks += 1
    for function in (*_functions, *(thing.after_fork for thing in list(_objects))):
        try:
            function()
        except Exception:
            # One that fails must not keep the others from being called.
            log.exception("a fork hook failed")


def _before_fork() -> None:
    for function in _before:
        function()


def _after_fork_in_parent() -> None:
    for function in _after:
        function()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork,
    )
