"""Trying again what a database may well do the next time."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeVar

import anyio

from eventstore.errors import StorageError
from eventstore.system.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)
T = TypeVar("T")


async def retry(function: Callable[[], Awaitable[T]], seconds: float) -> T:
    """Return what ``function`` returns, tried again after lost connections and time limits.

    Pauses grow exponentially, each a random part of its limit. What fails for another reason,
    or still does ``seconds`` after the first failure, is raised. ``function`` must be safe to
    repeat though the first call may have worked: appends of the same events are.
    """
    backoff, deadline = Backoff(), 0.0
    while True:
        try:
            return await function()
        except StorageError as error:
            if not (error.transient or error.timed_out):
                raise
            now = anyio.current_time()
            deadline = deadline or now + seconds
            pause = backoff.next()
            if now + pause >= deadline:
                raise
            log.info("trying again in %.1f s: %s", pause, error)
        await anyio.sleep(pause)
