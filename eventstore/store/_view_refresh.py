"""Bringing inline projections up after commits of processes that do not keep them."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from eventstore.errors import EventStoreError
from eventstore.log.operations import Transact

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

log = logging.getLogger(__name__)

REFRESH_SECONDS: Final = 1.0
"""Least time between two transactions that only bring projections up."""


class ViewRefresh:
    """Asks the writer, after a wake-up, to bring inline projections to the head.

    ``submit`` queues an operation; the writer carries it out within 200 ms. An append does the
    same before it stores anything, so a wake-up that is lost loses nothing.
    """

    def __init__(
        self, submit: Callable[[Transact], Future[Any]], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._submit = submit
        self._now = now
        self._lock = threading.Lock()
        self._pending = False
        self._due = now()

    def heard(self) -> None:
        """Take note that another process may have appended; from any thread."""
        with self._lock:
            if self._pending or self._now() < self._due:
                return
            self._pending, self._due = True, self._now() + REFRESH_SECONDS
        try:
            self._submit(Transact(_do_nothing)).add_done_callback(self._done)
        except EventStoreError:  # The store is being closed.
            self._pending = False

    def _done(self, future: Future[Any]) -> None:
        self._pending = False
        if not future.cancelled() and (error := future.exception()) is not None:
            log.info("projections are brought up with the next append: %s", error)


def _do_nothing(_connection: Any) -> None:
    """Change nothing: the projections have been brought up before this is called."""
