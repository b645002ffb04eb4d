"""What a unit test may not do: start a process, listen, or connect to a server.

An audit hook sees each attempt of Python code. libpq connects without one, so a unit test that
wants a database is caught where that database is started.
"""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

FORBIDDEN: Final = frozenset(
    {
        *("os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system"),
        *("subprocess.Popen", "socket.bind", "socket.connect"),
    }
)
"""Audit events, by their names in the table of Python's documentation."""


class ForbiddenInUnitTestError(Exception):
    """A unit test started a process or used a network."""


class _Guard:
    """The attempts seen while a guarded test runs; None while none does."""

    def __init__(self) -> None:
        self.attempts: list[str] | None = None
        self.others: set[int] = set()
        """Threads that earlier tests left running; what they do is not this test's."""


_GUARD: Final = _Guard()


@cache
def _install() -> None:
    sys.addaudithook(_watch)


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    attempts = _GUARD.attempts
    if attempts is None or event not in FORBIDDEN:
        return
    if threading.get_ident() not in _GUARD.others:
        attempts.append(event)
        raise ForbiddenInUnitTestError(f"{event}{arguments!r}: move the test out of tests/unit")


@contextmanager
def no_process_and_no_server() -> Iterator[None]:
    """Refuse each attempt inside, and fail at the end where the code under test hid one."""
    _install()
    main = threading.main_thread().ident
    _GUARD.others = {one.ident for one in threading.enumerate() if one.ident} - {main or 0}
    attempts: list[str] = []
    _GUARD.attempts = attempts
    try:
        yield
    finally:
        _GUARD.attempts = None
    if attempts:
        raise ForbiddenInUnitTestError(f"a unit test tried {', '.join(attempts)}")
