"""What must be kept of trimmed events: the wishes of all packages as one."""

from __future__ import annotations

import threading
from itertools import chain, islice
from queue import Queue
from typing import TYPE_CHECKING, Final

from eventstore.archive.trim import served_by, serving
from eventstore.cli.contributions import contributions
from eventstore.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from eventstore.archive.trim import Keep
    from eventstore.log.events import Event

CHUNK: Final = 500
"""Events that are handed to a keeper at once."""


def load_keepers() -> list[Keep]:
    """Return every package's keeper; refuse where one cannot be asked what it needs."""
    found = contributions()
    if found.unreadable:
        raise ConfigError(
            f"the manifest of distribution {found.unreadable[0]!r} cannot be used, so what its "
            "projections need of the old events is not known: mend it or uninstall it"
        )
    return [keeper.load(keeper.item.path) for keeper in found.keepers]


def keep_for_all(keepers: Sequence[Keep]) -> Keep:
    """Return one keeper that keeps what any of ``keepers`` wants.

    Each runs in a thread of its own, because each reads the events at its own pace; no more than
    two chunks of events wait for any of them. The first error of a keeper is raised.
    """

    @serving(*chain.from_iterable(map(served_by, keepers)))
    def keep(events: Iterable[Event]) -> Iterable[int]:
        if len(keepers) == 1:
            return keepers[0](events)
        readers = [_KeeperThread(keeper) for keeper in keepers]
        try:
            source = iter(events)
            while chunk := list(islice(source, CHUNK)):
                for reader in readers:
                    reader.chunks.put(chunk)
        finally:
            for reader in readers:
                reader.chunks.put(None)
                reader.join()
        return set(chain.from_iterable(reader.result() for reader in readers))

    return keep


class _KeeperThread(threading.Thread):
    """Runs one keeper over the chunks that are put into ``chunks``; ``None`` ends them."""

    def __init__(self, keeper: Keep) -> None:
        super().__init__(daemon=True)
        self.chunks: Queue[list[Event] | None] = Queue(maxsize=2)
        self._keeper = keeper
        self._kept: set[int] = set()
        self._error: Exception | None = None
        self._ended = False
        self.start()

    def run(self) -> None:
        """Ask the keeper; read on to the end also where it does not, so that no put blocks."""
        try:
            self._kept = set(self._keeper(chain.from_iterable(self._until_end())))
        except Exception as error:
            self._error = error
        for _ in self._until_end():
            pass

    def _until_end(self) -> Iterator[list[Event]]:
        while not self._ended:
            chunk = self.chunks.get()
            self._ended = chunk is None
            if chunk is not None:
                yield chunk

    def result(self) -> set[int]:
        """Return the positions to keep; raise what the keeper raised."""
        if self._error is not None:
            raise self._error
        return self._kept
