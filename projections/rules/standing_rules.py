"""What the log says about rules: which stand, from which files, and what was rejected."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from eventstore.log.redaction import EVENT_REDACTED
from projections.rules.events import (
    FILES_IGNORED,
    RULES,
    SOURCE_RENAMED,
    SOURCE_TYPES,
    SOURCES,
)
from projections.rules.fold import (
    Defined,
    Erased,
    FilesIgnored,
    Rejected,
    RejectionEnded,
    Removed,
    SourceRenamed,
    read_event,
)
from projections.rules.last_good import is_in_force
from projections.rules.model import NO_LINKS, Links

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from eventstore import Cursor, Event, EventStore
    from eventstore.errors import ConflictError

_TYPES: Final = (*SOURCE_TYPES, EVENT_REDACTED)


class StandingRule(msgspec.Struct, frozen=True):
    """A rule's last good definition, without its content. ``sha256`` is in hex.

    ``rules`` counts the rules of its file, ``carries`` says that its event has the file's
    content. An ``outdated`` one is read otherwise by now, from the same file.
    """

    rule_id: str
    path: str
    source: str
    format: str
    sha256: str
    rules: int = 1
    carries: bool = True
    links: Links = NO_LINKS
    outdated: bool = False


class StandingRejection(NamedTuple):
    """A file that is rejected, since when, and the ids of the rules that it waits for."""

    position: int
    since: datetime
    line: Any
    reason: str
    sha256: str
    waits_for: frozenset[str]


class Claim(NamedTuple):
    """A rejected file of ``source`` that waits for rules, with its event's position."""

    position: int
    source: str
    path: str
    waits_for: frozenset[str]


@dataclass
class StandingRules:
    """The rules that stand and the rejections of one source, brought up to date by refresh.

    ``rules`` maps the id of each rule that stands, of any source, to its definition;
    ``rejections`` maps the path of each file of ``source`` that is rejected to its hash and
    the reason; ``versions`` gives the version of every stream that has been read.
    ``rejected`` has the rejections of all sources, by source and path; ``ignored`` the numbers
    of files that are ignored, by source.
    """

    source: str
    rules: dict[str, StandingRule] = field(default_factory=dict)
    rejections: dict[str, tuple[str, str]] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    rejected: dict[str, dict[str, StandingRejection]] = field(default_factory=dict)
    ignored: dict[str, int] = field(default_factory=dict)
    cursor: Cursor | int = 0
    _good: dict[str, int] = field(default_factory=dict)
    """The position of the last good event of each rule's stream."""
    _source_erased: bool = False
    _by_path: dict[str, tuple[StandingRule, ...]] | None = None
    _touched: set[str] | None = None

    @property
    def source_stream(self) -> str:
        """The stream of this source's rejections."""
        return SOURCES + self.source

    def rules_by_path(self) -> dict[str, tuple[StandingRule, ...]]:
        """Return the rules of this source by the file that they are from; not to be changed."""
        if self._by_path is None:
            self._by_path = self._sort_by_path()
        return self._by_path

    def take_touched(self) -> frozenset[str] | None:
        """Return the files of this source whose rules have changed since the last call.

        None means that all may have.
        """
        touched, self._touched = self._touched, set()
        return None if touched is None else frozenset(touched)

    def _sort_by_path(self) -> dict[str, tuple[StandingRule, ...]]:
        found: dict[str, tuple[StandingRule, ...]] = {}
        for rule in self.rules.values():
            if rule.source == self.source:
                others = found.get(rule.path)
                found[rule.path] = (rule,) if others is None else (*others, rule)
        return found

    async def refresh(self, store: EventStore) -> None:
        """Take in what was appended since the last time."""
        head = await store.head()
        if head.cursor == self.cursor:
            return
        changes = store.read(after=self.cursor, until=head.position, types=_TYPES, kept=True)
        async for event in changes:
            self.apply(event)
        if self._source_erased:
            await self._read_again(store, head.position)
        self.cursor = head.cursor

    def claims(self) -> list[Claim]:
        """Return the rejected files that wait for rules of other sources, in the log's order."""
        return sorted(
            Claim(rejection.position, source, path, rejection.waits_for)
            for source, files in self.rejected.items()
            for path, rejection in files.items()
            if rejection.waits_for
        )

    def waits_for(self, path: str) -> frozenset[str]:
        """Return the ids that a rejected file of this source waits for; empty for none."""
        rejection = self.rejected.get(self.source, {}).get(path)
        return frozenset() if rejection is None else rejection.waits_for

    async def learn(self, store: EventStore, conflict: ConflictError) -> None:
        """Refresh after a conflict, and take the version of its stream from the error.

        What was appended there may be an event that says nothing about rules.
        """
        await self.refresh(store)
        stream = conflict.stream
        self.versions[stream] = max(self.versions.get(stream, 0), conflict.actual)

    def apply(self, event: Event) -> None:
        """Take in one event; one that cannot be used changes nothing but the version."""
        self.versions[event.stream] = event.version
        match read_event(event):
            case Defined() as rule:
                self._good[event.stream] = event.position
                self._stand(rule.rule_id, _standing(rule))
            case Removed(rule_id):
                self._good[event.stream] = event.position
                self._stand(rule_id, None)
            case Erased() as erased:
                self._erase(erased)
            case Rejected() as found:
                self._reject(event, found)
            case RejectionEnded(source, path):
                self.rejected.get(source, {}).pop(path, None)
                if source == self.source:
                    self.rejections.pop(path, None)
            case SourceRenamed(source, to):
                self._rename(source, to)
            case FilesIgnored(source, number):
                self.ignored[source] = number

    def _erase(self, erased: Erased) -> None:
        if erased.stream.startswith(SOURCES):
            self._source_erased = True
        elif erased.stream.startswith(RULES) and is_in_force(erased, self._good.get(erased.stream)):
            self._good[erased.stream] = erased.position
            self._stand(erased.stream.removeprefix(RULES), None)

    def _stand(self, rule_id: str, rule: StandingRule | None) -> None:
        """Let a rule stand as it is now, or no more."""
        before = self.rules.get(rule_id)
        if rule is None:
            self.rules.pop(rule_id, None)
        else:
            self.rules[rule_id] = rule
        own = [one for one in (before, rule) if one is not None and one.source == self.source]
        if self._touched is not None:
            self._touched.update(one.path for one in own)
        if self._by_path is None or not own:
            return
        if len(own) == 2 and own[0].path == own[1].path:  # By far the most.
            path = own[1].path
            others = self._by_path[path]
            self._by_path[path] = tuple(own[1] if one is own[0] else one for one in others)
        else:
            self._by_path = None

    def _reject(self, event: Event, found: Rejected) -> None:
        self.rejected.setdefault(found.source, {})[found.path] = StandingRejection(
            event.position,
            event.recorded_at,
            found.line,
            found.reason,
            found.sha256,
            found.waits_for,
        )
        if found.source == self.source:
            self.rejections[found.path] = found.sha256, found.reason

    def _rename(self, source: str, to: str) -> None:
        self._by_path = self._touched = None
        for rule in self.rules.values():
            if rule.source == source:
                self.rules[rule.rule_id] = msgspec.structs.replace(rule, source=to)
        self.rejected.setdefault(to, {}).update(self.rejected.pop(source, {}))
        if source in self.ignored:
            self.ignored[to] = self.ignored.pop(source)
        own = self.rejected.get(self.source, {})
        self.rejections = {path: (one.sha256, one.reason) for path, one in own.items()}

    async def _read_again(self, store: EventStore, until: int) -> None:
        """Compute all of it again: a redacted event of a source counts as never recorded."""
        self._source_erased = False
        self._by_path = self._touched = None
        self.rules.clear()
        self.rejections.clear()
        self.rejected.clear()
        self.ignored.clear()
        self._good.clear()
        async for event in store.read(until=until, types=_TYPES, kept=True):
            self.apply(event)
        self._source_erased = False


async def read_rejections(store: EventStore) -> dict[str, dict[str, StandingRejection]]:
    """Return the files that are rejected now, by source and path; reads no rules."""
    standing = await _read_sources(store, _TYPES)
    return {source: files for source, files in standing.rejected.items() if files}


async def read_ignored(store: EventStore) -> dict[str, int]:
    """Return how many files were ignored by their names when the log was last told, by source."""
    return (await _read_sources(store, (FILES_IGNORED, SOURCE_RENAMED))).ignored


async def _read_sources(store: EventStore, types: Iterable[str]) -> StandingRules:
    standing = StandingRules("")
    head = await store.head()
    async for event in store.read(until=head.position, streams=SOURCES, types=types, kept=True):
        standing.apply(event)
    return standing


def _standing(rule: Defined) -> StandingRule:
    return StandingRule(
        rule.rule_id,
        rule.path,
        rule.source or "",
        rule.format or "",
        rule.sha256 or "",
        rule.rules,
        rule.content is not None,
        rule.links or NO_LINKS,
        _is_outdated(rule),
    )


def _is_outdated(rule: Defined) -> bool:
    if rule.links is not None or rule.rules != 1 or rule.content is None:
        return False
    # `status` reads rejections by this module, and has no use for formats.
    from projections.rules.formats import is_outdated  # noqa: PLC0415

    return is_outdated(rule.format, rule.stored.match_spec, rule.content)
