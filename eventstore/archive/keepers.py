"""What must be kept of trimmed events: the needs of all views as one policy."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain, islice
from queue import Queue
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from eventstore.errors import ConfigError
from eventstore.log.events import Event
from eventstore.system.entry_points import EntryPoint, find_entry_points, import_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MANIFESTS: Final = "eventstore.commands"
"""The entry point group that names manifests; see :mod:`eventstore.cli.manifest`."""

OWN: Final = EntryPoint("ruletide", "log", "eventstore.cli.log_manifest:MANIFEST")
"""What the log itself needs: the dead letters of outboxes."""

CHUNK: Final = 500
"""Events that are handed to a keeper at once."""

Keep: TypeAlias = Callable[[Iterable[Event]], Iterable[int]]
"""Given what was kept before and the events to be trimmed, in order and once, returns the
positions of those that projections still need."""

K = TypeVar("K", bound=Keep)


def serving(*views: str) -> Callable[[K], K]:
    """Say of a policy that views of these names can be computed from what it keeps.

    A trim then neither waits for them nor refuses. Used as a decorator.
    """

    def mark(keep: K) -> K:
        keep.serves = frozenset(views)  # type: ignore[attr-defined]
        return keep

    return mark


def served_by(keep: Keep) -> frozenset[str]:
    """Return the names of the views that can be computed from what a policy keeps."""
    return getattr(keep, "serves", frozenset())


def reading_on(category: str) -> Callable[[K], K]:
    """Say of a policy that it is given the rest of a category too, beyond what goes.

    What it keeps of events that go then depends on what became of them. Used as a decorator.
    """

    def mark(keep: K) -> K:
        keep.reads_on = category  # type: ignore[attr-defined]
        return keep

    return mark


Rest: TypeAlias = Callable[[str], Iterable[Event]]
"""Reads the events of a category that stay in the log."""


def _no_rest(_: str) -> Iterable[Event]:
    return ()


@dataclass(frozen=True, slots=True)
class Needs:
    """What the views of all packages, and of the program that trims, need of trimmed events."""

    keepers: Sequence[Keep]
    served: frozenset[str]
    """The views that can be computed again from what is kept."""
    undeclared: tuple[str, ...]
    """Views that installed packages offer to rebuild, and say nothing of."""


def read_needs(own: Keep | None) -> Needs:
    """Return what every installed package, and the policy of the caller, want to be kept.

    Raises ConfigError where a package cannot be asked.
    """
    keepers: list[Keep] = [] if own is None else [own]
    served: set[str] = set()
    undeclared: list[str] = []
    for entry in [OWN, *sorted(find_entry_points(MANIFESTS))]:
        manifest = _load_manifest(entry)
        # A keeper keeps what all views of its package need.
        (served.update if manifest.keepers else undeclared.extend)(
            view.name for view in (*manifest.rebuilds, *manifest.views)
        )
        keepers += [import_path(entry.distribution, one.path) for one in manifest.keepers]
    keepers = list(dict.fromkeys(keepers))
    served.update(chain.from_iterable(map(served_by, keepers)))
    return Needs(keepers, frozenset(served), tuple(undeclared))


def _load_manifest(entry: EntryPoint) -> Any:
    try:
        manifest = entry.load()
        _ = manifest.keepers, manifest.rebuilds, manifest.views
    except (Exception, SystemExit) as error:
        raise ConfigError(
            f"the manifest of distribution {entry.distribution!r} cannot be used, so what its "
            "projections need of the old events is not known: mend it or uninstall it"
        ) from error
    return manifest


def keep_for_all(keepers: Sequence[Keep], rest: Rest = _no_rest) -> Keep:
    """Return one policy that keeps what any of ``keepers`` wants.

    Each runs in a thread of its own, because each reads the events at its own pace; no more than
    two chunks of events wait for any of them. The first error of a keeper is raised. Those that
    are :func:`reading_on` are given what ``rest`` reads, after the events that go.
    """

    def keep(events: Iterable[Event]) -> Iterable[int]:
        readers = [_KeeperThread(keeper) for keeper in keepers]
        try:
            _hand_out(events, readers)
            for reader in readers:
                if reader.reads_on:
                    _hand_out(rest(reader.reads_on), [reader])
        finally:
            for reader in readers:
                reader.chunks.put(None)
                reader.join()
        return set(chain.from_iterable(reader.result() for reader in readers))

    return keep


def _hand_out(events: Iterable[Event], readers: Sequence[_KeeperThread]) -> None:
    source = iter(events)
    while chunk := list(islice(source, CHUNK)):
        for reader in readers:
            reader.chunks.put(chunk)


class _KeeperThread(threading.Thread):
    """Runs one keeper over the chunks that are put into ``chunks``; ``None`` ends them."""

    def __init__(self, keeper: Keep) -> None:
        super().__init__(daemon=True)
        self.chunks: Queue[list[Event] | None] = Queue(maxsize=2)
        self._keeper = keeper
        self.reads_on: str = getattr(keeper, "reads_on", "")
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
