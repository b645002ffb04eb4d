"""Whether a run of a projection goes on after an error, and what is wrong meanwhile."""

from __future__ import annotations

import logging
from typing import Final

from eventstore.errors import (
    CorruptEventError,
    ProjectionGoneError,
    ProjectionTableError,
    StorageError,
    StoreClosedError,
)
from eventstore.system.backoff import Backoff
from eventstore.system.retry import may_pass
from eventstore.system.secret_text import conceal

log = logging.getLogger(__name__)

MOST_CHARACTERS: Final = 1_000
"""Characters of an error's text that are logged and told."""


class Retries:
    """Decides on retries of one run, which may fail any number of times.

    A database or a file system that fails is tried again, with ``persist`` everything else as
    well. What goes wrong before the projection was opened once is the caller's, unless it can
    pass by itself. ``trouble`` is the last error's text, without passwords of URLs
    and cut; empty once the projection works again.
    """

    def __init__(self, name: str) -> None:
        self.trouble = ""
        self._name = name
        self._backoff = Backoff()
        self._opened = False

    def begin(self) -> None:
        """Begin a run."""
        self.trouble, self._opened = "", False
        self._backoff.reset()

    def opened(self) -> None:
        """Note that the projection was opened."""
        self._opened = True

    def succeeded(self) -> bool:
        """Note that the projection has done all there is to do; return whether it had trouble."""
        had_trouble = bool(self.trouble)
        if had_trouble:
            log.warning("projection %r works again", self._name)
        self.trouble = ""
        self._backoff.reset()
        return had_trouble

    def pause_after(self, error: Exception, *, persist: bool) -> float:
        """Return the seconds to wait before the next try; raise ``error`` where there is none."""
        if not (may_pass(error) or self._is_ours(error, persist=persist)):
            raise error
        found = _text(error)
        if found != self.trouble:
            log.warning("projection %r failed and is tried again: %s", self._name, found)
        self.trouble = found
        return self._backoff.next()

    def stop(self, error: Exception) -> None:
        """Note what has ended the run for good."""
        self.trouble = _text(error)
        log.warning("projection %r has stopped: %s", self._name, self.trouble)

    def _is_ours(self, error: Exception, *, persist: bool) -> bool:
        if not self._opened or isinstance(error, StoreClosedError):
            return False
        if isinstance(error, ProjectionTableError | ProjectionGoneError):
            return True  # Opening it again computes what is missing, or names what was altered.
        lasting = isinstance(error, CorruptEventError) or not isinstance(error, StorageError)
        return persist or not lasting


def _text(error: Exception) -> str:
    return conceal(str(error) or type(error).__name__)[:MOST_CHARACTERS]
