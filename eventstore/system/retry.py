"""Retrying what failed because a database was not reachable or too slow."""

from __future__ import annotations

import errno
import logging
import time
from typing import TYPE_CHECKING, Final, TypeVar

import anyio

from eventstore.errors import StorageError
from eventstore.system.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)
T = TypeVar("T")

_PASSING_ERRNOS: Final = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EIO,
    errno.EROFS,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.ESTALE,
    errno.EBUSY,
}
"""What a disk or a system lacks for a while: space, descriptors, memory, its mount."""


def may_pass(error: BaseException) -> bool:
    """Whether the cause of an error may pass while the request stays as it is.

    So it is with a lost connection, a timeout, a full disk.
    """
    if isinstance(error, StorageError) and (error.transient or error.timed_out):
        return True
    cause = error if isinstance(error, OSError) else error.__cause__
    return isinstance(cause, OSError) and cause.errno in _PASSING_ERRNOS


async def retry(function: Callable[[], Awaitable[T]], seconds: float) -> T:
    """Return what ``function`` returns, retried after lost connections and timeouts.

    Waits between tries are those of :class:`Backoff`. An error of another kind is raised at
    once, and so is one after which the next try would begin more than ``seconds`` after the
    first failure. ``function`` must be idempotent: the try that failed may have succeeded in the
    database. Appends of the same events are.
    """
    tries = _Tries(seconds)
    while True:
        try:
            return await function()
        except StorageError as error:
            pause = tries.pause(error)
        await anyio.sleep(pause)


def retry_here(
    function: Callable[[], T], seconds: float, sleep: Callable[[float], None] = time.sleep
) -> T:
    """Do what :func:`retry` does with a plain function, in the calling thread."""
    tries = _Tries(seconds)
    while True:
        try:
            return function()
        except StorageError as error:
            pause = tries.pause(error)
        sleep(pause)


class _Tries:
    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._backoff = Backoff()
        self._deadline = 0.0

    def pause(self, error: StorageError) -> float:
        """Return how long to wait until the next try; raise ``error`` where there is none."""
        if not (error.transient or error.timed_out):
            raise error
        now = time.monotonic()
        self._deadline = self._deadline or now + self._seconds
        pause = self._backoff.next()
        if now + pause >= self._deadline:
            raise error
        log.info("trying again in %.1f s: %s", pause, error)
        return pause
