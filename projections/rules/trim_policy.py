"""What trimming has to keep so that rules and their views stay what they are.

For each stream of the rule plane its last event, removals included: whoever slept through
the trim still learns of them, and versions go on. Besides that, the events which the views
are made of: :func:`keep_rules` looks at each event with the eyes of each view.
"""

from __future__ import annotations

from itertools import chain, groupby
from typing import TYPE_CHECKING, Final

from projections.directory.file_changes import fold
from projections.directory.path_claims import Claims
from projections.rules import events as rule_events
from projections.rules.events import RULES, SOURCES, STATES, rule_file
from projections.rules.standing_rules import KnownRules
from projections.rules.store import read_change
from projections.rules.tables import rejected_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from eventstore.log.events import Event


def keep_rules(events: Iterable[Event]) -> Iterable[int]:
    """Choose the events of rules, states and sources that must stay; for ``store.trim``.

    Events come in order, once, and are not held: memory is that of the views.
    """
    latest = _Latest()
    files = _Files()
    for _, commit in groupby(events, key=lambda event: event.commit):
        changes = []
        for event in commit:
            if event.stream.startswith((RULES, STATES, SOURCES)):
                latest.add(event)
            if event.type in _FILE_TYPES or event.redacted:
                changes.append(event)
        files.add(changes)
    return latest.positions() | files.positions()


_FILE_TYPES: Final = (rule_events.RULE_DEFINED, rule_events.RULE_REMOVED)
"""What a directory takes for a change of a file, in whatever stream."""


class _Latest:
    """The last event of each stream, and the last ones that readers can use."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}
        self._good: dict[str, int] = {}
        self._known: dict[str, int] = {}
        self._rejections: dict[tuple[str, str], list[int]] = {}
        # To one view they are removals, to another nothing; without content they cost nothing.
        self._erased: list[int] = []

    def add(self, event: Event) -> None:
        """Take in an event of the rule plane."""
        self._last[event.stream] = event.position
        if event.redacted:
            self._erased.append(event.position)
        if event.stream.startswith(SOURCES):
            self._add_rejection(event)
            return
        if read_change(event) is not None:
            self._good[event.stream] = event.position
        known = KnownRules("")
        known.apply(event)
        if known.rules or event.type == rule_events.RULE_REMOVED:
            self._known[event.stream] = event.position

    def _add_rejection(self, event: Event) -> None:
        path = rejected_path(event)
        if path is None:
            return
        key = event.stream, path
        if event.type == rule_events.RULE_REJECTED:
            self._rejections[key] = [event.position]
        elif event.type == rule_events.REJECTION_ENDED and len(self._rejections.get(key, ())) == 1:
            # Only the first end counts, but the rejection stays to be seen with it.
            self._rejections[key].append(event.position)

    def positions(self) -> set[int]:
        """Return the positions to keep."""
        single = (self._last.values(), self._good.values(), self._known.values())
        rejections = chain.from_iterable(self._rejections.values())
        return {*chain(*single), *rejections, *self._erased}


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
        """Take in the definitions and removals of one commit."""
        if not commit:
            return
        waited = bool(self._claims.waiting)
        fold(self._claims, {}, commit, rule_file, stop=False)
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
