"""What the log says about rules: which stand, from which files, and what was rejected."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import msgspec

from eventstore.errors import InvalidInputError
from eventstore.log.redaction import EVENT_REDACTED, read_redaction
from projections.rules.events import (
    REJECTION_ENDED,
    RULE_DEFINED,
    RULE_REJECTED,
    RULE_REMOVED,
    RULES,
    SOURCES,
)

if TYPE_CHECKING:
    from eventstore import Cursor, Event, EventStore
    from eventstore.errors import ConflictError

_TYPES: Final = (RULE_DEFINED, RULE_REMOVED, RULE_REJECTED, REJECTION_ENDED, EVENT_REDACTED)


class KnownRule(msgspec.Struct, frozen=True):
    """A rule's latest definition, without its content."""

    rule_id: str
    path: str
    source: str
    format: str
    sha256: str


class _Rejection(msgspec.Struct, frozen=True):
    path: str
    sha256: str = ""
    reason: str = ""


@dataclass
class KnownRules:
    """A fold over the rule events, brought up to date with :meth:`refresh`.

    ``rules`` maps the id of each rule that stands to its definition; ``rejections`` maps
    the path of each file of ``source`` that is rejected to the hash and the reason;
    ``versions`` gives the version of every stream that has been seen.
    """

    source: str
    rules: dict[str, KnownRule] = field(default_factory=dict)
    rejections: dict[str, tuple[str, str]] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    cursor: Cursor | int = 0
    _defined: dict[str, int] = field(default_factory=dict)
    """The version of the definition that each rule has, of its stream."""

    @property
    def source_stream(self) -> str:
        """The stream of this source's rejections."""
        return SOURCES + self.source

    async def refresh(self, store: EventStore) -> None:
        """Take in what was appended since the last time."""
        head = await store.head()
        changes = store.read(after=self.cursor, until=head.position, types=_TYPES, kept=True)
        async for event in changes:
            self.apply(event)
        self.cursor = head.cursor

    async def learn(self, store: EventStore, conflict: ConflictError) -> None:
        """Take in what a conflict was about, also where it was no rule event."""
        await self.refresh(store)
        stream = conflict.stream
        self.versions[stream] = max(self.versions.get(stream, 0), conflict.actual)

    def apply(self, event: Event) -> None:
        """Take in one event; one that is not as it should be is passed over."""
        self.versions[event.stream] = event.version
        if event.raw_data is None:
            if event.type in {RULE_DEFINED, RULE_REMOVED}:
                self._forget(event.stream, event.version)
            return
        if (redaction := read_redaction(event)) is not None:
            self._forget(redaction.stream, redaction.version)
        try:
            if event.stream == self.source_stream:
                self._apply_rejection(event, event.raw_data)
            elif event.stream.startswith(RULES):
                self._apply_rule(event, event.raw_data)
        except (msgspec.MsgspecError, InvalidInputError):
            return

    def _forget(self, stream: str, version: int) -> None:
        """Let a rule go whose definition was redacted, unless a later one stands."""
        rule_id = stream.removeprefix(RULES)
        if stream.startswith(RULES) and self._defined.get(rule_id, version + 1) <= version:
            self.rules.pop(rule_id, None)

    def _apply_rule(self, event: Event, raw: bytes) -> None:
        rule_id = event.stream.removeprefix(RULES)
        if event.type == RULE_DEFINED:
            self.rules[rule_id] = msgspec.json.decode(raw, type=KnownRule)
            self._defined[rule_id] = event.version
        elif event.type == RULE_REMOVED:
            self.rules.pop(rule_id, None)

    def _apply_rejection(self, event: Event, raw: bytes) -> None:
        rejection = msgspec.json.decode(raw, type=_Rejection)
        if event.type == RULE_REJECTED:
            self.rejections[rejection.path] = rejection.sha256, rejection.reason
        elif event.type == REJECTION_ENDED:
            self.rejections.pop(rejection.path, None)
