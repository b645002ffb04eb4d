"""What a process shares: one store for each log, and iterators that any event loop may read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import anyio

from eventstore.errors import ConfigError
from eventstore.storage.sqlite.backend import log_file
from eventstore.system.fork_hooks import ForkLock

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from projections.seams.background_loop import Background, Call

T = TypeVar("T")

LOG_SUFFIX: Final = ".eventstore.db"
"""The log of the directory ``rules`` is ``rules.eventstore.db``, beside it."""


def lasting_url(url: str) -> str:
    """Return a log's URL with a file made absolute: it may be opened from another directory."""
    path = log_file(url)
    return url if path is None else f"sqlite:///{path}"


def log_beside(variable: str, directory: str) -> tuple[Path, str]:
    """Return a directory made absolute, and the URL of the log that lies beside it.

    Raises ConfigError, naming the variable, where no log can be named there.
    """
    # Links are left as they are: one that is pointed at another release keeps its log.
    root = Path(os.path.abspath(Path(directory).expanduser()))  # noqa: PTH100
    log = root.with_name(root.name + LOG_SUFFIX) if root.name else None
    if log is None or "?" in str(log):
        raise ConfigError(f"{variable} {str(root)!r}: no log can be named beside it")
    return root, f"sqlite:///{log}"


class Shared(Generic[T]):
    """One thing for each key, made when it is first asked for; from any thread."""

    def __init__(self) -> None:
        self._lock = ForkLock()
        self._known: dict[Hashable, T] = {}

    def get(
        self, key: Hashable, make: Callable[[], T], *, usable: Callable[[T], bool] = lambda _: True
    ) -> T:
        """Return the thing of this key; a new one where the old one is not usable any more."""
        with self._lock:
            found = self._known.get(key)
            if found is None or not usable(found):
                found = self._known[key] = make()
            return found


class SharedChanges(Generic[T]):
    """An async iterator whose reading goes on in the background, for whatever loop asks.

    A caller that is cancelled loses nothing: what was taken for it is given out next time.
    ``source`` is an async iterator of the background loop, with ``aclose``.
    """

    def __init__(self, background: Background, source: Any) -> None:
        self._background = background
        self._source = source
        self._pending: Call[T] | None = None
        self._guard = anyio.ResourceGuard("reading from")

    def __aiter__(self) -> SharedChanges[T]:
        return self

    async def __anext__(self) -> T:
        with self._guard:
            if self._pending is None:
                self._pending = self._background.start(self._source.__anext__)
            pending = self._pending
            await pending.finished()
            self._pending = None
            return pending.result()

    async def aclose(self) -> None:
        """End the subscription; a waiting reader stops iterating."""
        await self._background.call(self._source.aclose)

    def __del__(self) -> None:
        if self._pending is not None:
            self._background.discard(self._pending)
