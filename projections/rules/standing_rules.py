"""What the log says about rules: which stand, from which files, and what was rejected."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import msgspec

from eventstore.log.redaction import EVENT_REDACTED
from projections.rules.events import (
    REJECTION_ENDED,
    RULE_DEFINED,
    RULE_REJECTED,
    RULE_REMOVED,
    RULES,
    SOURCES,
)
from projections.rules.fold import (
    Defined,
    Erased,
    Rejected,
    RejectionEnded,
    Removed,
    read_event,
)
from projections.rules.formats import is_outdated
from projections.rules.last_good import is_in_force
from projections.rules.model import NO_LINKS, Links

if TYPE_CHECKING:
    from eventstore import Cursor, Event, EventStore
    from eventstore.errors import ConflictError

_TYPES: Final = (RULE_DEFINED, RULE_REMOVED, RULE_REJECTED, REJECTION_ENDED, EVENT_REDACTED)


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


@dataclass
class StandingRules:
    """The rules that stand and the rejections of one source, brought up to date by refresh.

    ``rules`` maps the id of each rule that stands, of any source, to its definition;
    ``rejections`` maps the path of each file of ``source`` that is rejected to its hash and
    the reason; ``versions`` gives the version of every stream that has been read.
    """

    source: str
    rules: dict[str, StandingRule] = field(default_factory=dict)
    rejections: dict[str, tuple[str, str]] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    cursor: Cursor | int = 0
    _good: dict[str, int] = field(default_factory=dict)
    """The position of the last good event of each rule's stream."""
    _rejection_erased: bool = False

    @property
    def source_stream(self) -> str:
        """The stream of this source's rejections."""
        return SOURCES + self.source

    def rules_by_path(self) -> dict[str, tuple[StandingRule, ...]]:
        """Return the rules of this source by the file that they are from."""
        found: dict[str, tuple[StandingRule, ...]] = {}
        for rule in self.rules.values():
            if rule.source == self.source:
                others = found.get(rule.path)
                found[rule.path] = (rule,) if others is None else (*others, rule)
        return found

    async def refresh(self, store: EventStore) -> None:
        """Take in what was appended since the last time."""
        head = await store.head()
        changes = store.read(after=self.cursor, until=head.position, types=_TYPES, kept=True)
        async for event in changes:
            self.apply(event)
        if self._rejection_erased:
            await self._read_rejections(store, head.position)
        self.cursor = head.cursor

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
                self.rules[rule.rule_id] = _standing(rule)
            case Removed(rule_id):
                self._good[event.stream] = event.position
                self.rules.pop(rule_id, None)
            case Erased() as erased:
                self._erase(erased)
            case Rejected() | RejectionEnded() as rejection:
                self._apply_rejection(rejection)

    def _erase(self, erased: Erased) -> None:
        if erased.stream == self.source_stream:
            self._rejection_erased = True
        elif erased.stream.startswith(RULES) and is_in_force(erased, self._good.get(erased.stream)):
            self._good[erased.stream] = erased.position
            self.rules.pop(erased.stream.removeprefix(RULES), None)

    def _apply_rejection(self, rejection: Rejected | RejectionEnded) -> None:
        if rejection.source != self.source:
            return
        if isinstance(rejection, Rejected):
            self.rejections[rejection.path] = rejection.sha256, rejection.reason
        else:
            self.rejections.pop(rejection.path, None)

    async def _read_rejections(self, store: EventStore, until: int) -> None:
        """Compute the rejections again: one that was redacted counts as never recorded."""
        self.rejections.clear()
        events = store.read(until=until, streams=self.source_stream, types=_TYPES, kept=True)
        async for event in events:
            match read_event(event):
                case Rejected() | RejectionEnded() as rejection:
                    self._apply_rejection(rejection)
        self._rejection_erased = False


def _standing(rule: Defined) -> StandingRule:
    outdated = (
        rule.links is None
        and rule.rules == 1
        and rule.content is not None
        and is_outdated(rule.format, rule.stored.match_spec, rule.content)
    )
    return StandingRule(
        rule.rule_id,
        rule.path,
        rule.source or "",
        rule.format or "",
        rule.sha256 or "",
        rule.rules,
        rule.content is not None,
        rule.links or NO_LINKS,
        outdated,
    )
