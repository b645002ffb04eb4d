"""What trimming has to keep so that rules and their projections stay what they are.

Kept are, for each stream of rules, states and sources, its last event and its last good one,
removals included: a worker that was away during the trim still learns of them, and versions go
on. Besides those, the events that the rejections and the files of a directory come from.
"""

from __future__ import annotations

from itertools import chain, groupby
from typing import TYPE_CHECKING, Final

from eventstore.archive.keepers import serving
from projections.directory.file_changes import fold
from projections.directory.path_claims import Claims
from projections.rules.events import HOLDS, RULE_DEFINED, RULE_REMOVED, RULES, SOURCES, STATES
from projections.rules.fold import (
    FilesIgnored,
    HoldBegun,
    HoldEnded,
    Rejected,
    RejectionEnded,
    SourceRenamed,
    read_event,
)
from projections.rules.last_good import LastGood
from projections.rules.rule_files import RULE_FILES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from eventstore.log.events import Event


@serving("rules", "directory")
def keep_rules(events: Iterable[Event]) -> Iterable[int]:
    """Choose the events of rules, states and sources that must stay; for ``store.trim``.

    Events come in order, once, and are not held: memory is that of the projections.
    """
    latest, files = _Latest(), _Files()
    for _, commit in groupby(events, key=lambda event: event.commit):
        changes = []
        for event in commit:
            if event.stream.startswith((RULES, STATES, SOURCES, HOLDS)):
                latest.add(event)
            if event.stream.startswith(RULES) and event.type in _FILE_TYPES:
                changes.append(event)
        files.add(changes)
    return latest.positions() | files.positions()


_FILE_TYPES: Final = frozenset({RULE_DEFINED, RULE_REMOVED})
"""The types of events that change a file."""


class _Latest:
    """The last event of each stream, its last good one, and what the rejections come from."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}
        self._good: LastGood[None] = LastGood(lambda _: None)
        self._rejections: dict[tuple[str, str], list[int]] = {}
        self._renames: list[int] = []
        self._ignored: dict[str, int] = {}
        self._holds: dict[str, int] = {}
        # The log keeps their redactions, and projections look for what those are about.
        self._redacted: list[int] = []

    def add(self, event: Event) -> None:
        """Take in an event of a rule, a state or a source."""
        self._last[event.stream] = event.position
        if event.redacted:
            self._redacted.append(event.position)
        if event.stream.startswith(SOURCES):
            self._add_rejection(event)
        elif event.stream.startswith(HOLDS):
            if isinstance(read_event(event), HoldBegun | HoldEnded):
                self._holds[event.stream] = event.position
        else:
            self._good.apply(event)

    def _add_rejection(self, event: Event) -> None:
        match read_event(event):
            case Rejected(source, path):
                self._rejections[source, path] = [event.position]
            case RejectionEnded(source, path):
                found = self._rejections.get((source, path), [])
                # Only the first end counts; the rejection itself stays in the tables with it.
                if len(found) == 1:
                    found.append(event.position)
            case SourceRenamed(source, to):
                self._renames.append(event.position)
                moved = [key for key in self._rejections if key[0] == source]
                self._rejections |= {(to, key[1]): self._rejections.pop(key) for key in moved}
                if source in self._ignored:
                    self._ignored[to] = self._ignored.pop(source)
            case FilesIgnored(source):
                self._ignored[source] = event.position

    def positions(self) -> set[int]:
        """Return the positions to keep."""
        good = (version.position for version in self._good.versions.values())
        rejections = chain.from_iterable(self._rejections.values())
        named = *self._renames, *self._ignored.values(), *self._holds.values()
        kept = *good, *rejections, *named, *self._redacted
        return {*self._last.values(), *kept}


class _Files:
    """What a directory of rule files is made of.

    Where no rule waits for a path that another one has, the definitions that stand give the
    same directory in any order. Since the commit where that ended, all of them are needed.
    """

    def __init__(self) -> None:
        self._claims = Claims()
        self._standing: dict[str, int] = {}
        self._before: set[int] = set()
        self._since: list[int] = []

    def add(self, commit: Sequence[Event]) -> None:
        """Take in the events of rules of one commit."""
        if not commit:
            return
        waited = bool(self._claims.waiting)
        fold(self._claims, {}, commit, RULE_FILES, stop=False)
        if self._claims.waiting:
            if not waited:
                self._before = set(self._standing.values())
            self._since += [event.position for event in commit]
        else:
            self._before, self._since = set(), []
        for event in commit:
            self._standing.pop(event.stream, None)
            position = self._claims.position_of(event.stream)
            if position is not None:
                self._standing[event.stream] = position

    def positions(self) -> set[int]:
        """Return the positions to keep."""
        standing = self._before.union(self._standing.values(), self._since)
        # Records of what could not be read stay in the manifest, and so do their events.
        return standing.union(self._claims.rejected)
