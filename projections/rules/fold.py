"""What one event says about rules: the only place where events of rules are interpreted.

The rule store, the tables, the replica file, the projected directory, the master's standing rules,
the expiry of states and the trim policy all derive from :func:`read_event`, and from
:mod:`projections.rules.last_good` for what it means in the order of the log.

- The stream says which rule or source an event is about: ``rule/ID``, ``rule-state/ID``,
  ``source/NAME``; ``rule-hold/all`` is about all. The same types in other streams say nothing
  about rules.
- A definition is usable as a whole or not at all: it needs a path, the compiled rule, and the
  file's content or the stream whose definition carries it. A removal needs no data.
- A redacted definition counts as a removal, a redacted state as the default. A redacted
  rejection, its end, a renaming of a source, a count of ignored files or a hold counts as never
  recorded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple, TypeAlias

import msgspec

from eventstore.errors import InvalidInputError
from eventstore.log.events import BYTES_CONTENT
from eventstore.log.names import check_stream
from eventstore.log.redaction import read_redaction
from projections.rules.events import (
    FILES_IGNORED,
    HOLD_TYPES,
    HOLDS,
    REJECTION_ENDED,
    RULE_DEFINED,
    RULE_REJECTED,
    RULE_REMOVED,
    RULE_STATE_EXPIRED,
    RULE_STATE_SET,
    RULES,
    RULES_HELD,
    RULES_RELEASED,
    SOURCE_RENAMED,
    SOURCE_TYPES,
    SOURCES,
    STATE_TYPES,
    STATES,
    decode_content,
)
from projections.rules.model import (  # noqa: TC001 - msgspec resolves them at runtime
    Links,
    RuleState,
    StoredRule,
    StoredState,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventstore.log.events import Event
    from eventstore.log.redaction import Redaction
    from projections.rules.model import CompiledRule


class Defined(NamedTuple):
    """A rule was defined: its file (``path`` and exact ``content``) and the compiled rule.

    ``sha256`` is that of the content, in hex. It, ``source`` and ``format`` are None where the
    event does not give them. Of the ``rules`` of one file one carries the content; it is None
    in the definitions of the others. ``links`` are None where the event is from a version that
    knew of none.
    """

    rule_id: str
    path: str
    content: bytes | None
    source: str | None
    format: str | None
    sha256: str | None
    stored: StoredRule
    rules: int = 1
    links: Links | None = None

    def compiled(self, state: RuleState) -> CompiledRule:
        """Return the rule as an engine takes it, with ``state`` stamped on."""
        return self.stored.compiled(state)


class Removed(NamedTuple):
    """A rule was removed, or its definition was redacted."""

    rule_id: str


class StateSet(NamedTuple):
    """A rule's state was set, or has expired (``expired``) and is now ``state``."""

    rule_id: str
    state: RuleState
    expired: bool


class StateErased(NamedTuple):
    """A rule's state was redacted: it is the default again."""

    rule_id: str


class Rejected(NamedTuple):
    """A file of ``source`` was rejected; ``sha256`` is that of its content, in hex.

    ``line`` is as it was stored: a number from 1, or None. ``waits_for`` are the ids of
    the rules that the file defines as soon as other sources give them up.
    """

    source: str
    path: str
    sha256: str
    reason: str
    line: Any
    waits_for: frozenset[str] = frozenset()


class RejectionEnded(NamedTuple):
    """A rejected file of ``source`` is no longer rejected."""

    source: str
    path: str


class SourceRenamed(NamedTuple):
    """A source has the name ``to`` from here on, with its rules and its rejections."""

    source: str
    to: str


class FilesIgnored(NamedTuple):
    """A look at ``source`` has passed over ``number`` files by their names."""

    source: str
    number: int


class HoldBegun(NamedTuple):
    """From here on rule stores stay at the rules of ``position``; states go through."""

    position: int
    by: str
    reason: str


class HoldEnded(NamedTuple):
    """From here on rule stores follow the rules again."""


class Unusable(NamedTuple):
    """An event of rules whose data cannot be read, and why: what stood before it stands."""

    reason: str


class Erased(NamedTuple):
    """The content of an earlier event was redacted.

    ``instead`` is what that event says from now on, None where it says nothing.
    """

    stream: str
    position: int
    version: int
    type: str
    instead: Removed | StateErased | None


Meaning: TypeAlias = (
    Defined
    | Removed
    | StateSet
    | StateErased
    | Rejected
    | RejectionEnded
    | SourceRenamed
    | FilesIgnored
    | HoldBegun
    | HoldEnded
    | Unusable
    | Erased
)

Standing: TypeAlias = Defined | Removed | StateSet | StateErased
"""What can be in force for a rule or for its state; see :mod:`projections.rules.last_good`."""

EVENT_TYPES: Final = frozenset({*SOURCE_TYPES, *STATE_TYPES, *HOLD_TYPES})


class _DefinitionData(msgspec.Struct):
    path: str
    rule: StoredRule
    content: str | None = None
    base64: str | None = None
    source: str | None = None
    format: str | None = None
    sha256: str | None = None
    rules: int = 1
    content_in: str | None = None
    links: Links | None = None


class _StateData(msgspec.Struct):
    state: StoredState


class _ClaimData(msgspec.Struct):
    rule_ids: frozenset[str]


class _RejectionData(msgspec.Struct):
    path: str
    sha256: str = ""
    reason: str = ""
    line: Any = None
    claim: _ClaimData | None = None


class _RenameData(msgspec.Struct):
    to: str


class _HoldData(msgspec.Struct):
    position: Annotated[int, msgspec.Meta(ge=0)]
    by: str = ""
    reason: str = ""


class _IgnoredData(msgspec.Struct):
    ignored: Annotated[int, msgspec.Meta(ge=0)]


_DEFINITIONS: Final = msgspec.json.Decoder(_DefinitionData)
_STATES: Final = msgspec.json.Decoder(_StateData)
_REJECTIONS: Final = msgspec.json.Decoder(_RejectionData)
_RENAMES: Final = msgspec.json.Decoder(_RenameData)
_HOLDS: Final = msgspec.json.Decoder(_HoldData)
_IGNORED: Final = msgspec.json.Decoder(_IgnoredData)


def read_event(event: Event) -> Meaning | None:
    """Return what an event says about rules; None where it says nothing about them.

    Never raises: data that cannot be read makes the event :class:`Unusable`.
    """
    category, _, key = event.stream.partition("/")
    reader = _READERS.get((category, event.type))
    if reader is None:
        redaction = read_redaction(event)
        return None if redaction is None else read_erasure(redaction)
    if event.raw_data is None:
        return _say_instead(event.stream, event.type)
    if event.content == BYTES_CONTENT and event.type != RULE_REMOVED:
        return Unusable("its data is bytes, not JSON")
    try:
        return reader(key, event.type, event.raw_data)
    except (msgspec.MsgspecError, InvalidInputError, ValueError, RecursionError) as error:
        return Unusable(str(error)[:500])


def read_erasure(redaction: Redaction) -> Erased:
    """Return what the redaction of an event means for rules."""
    instead = None
    if redaction.type != RULE_REMOVED:  # A removal has no content that matters.
        instead = _say_instead(redaction.stream, redaction.type)
    return Erased(redaction.stream, redaction.position, redaction.version, redaction.type, instead)


def _say_instead(stream: str, type_: str) -> Removed | StateErased | None:
    category, _, key = stream.partition("/")
    if (category, type_) not in _READERS or stream.startswith((SOURCES, HOLDS)):
        return None
    return Removed(key) if stream.startswith(RULES) else StateErased(key)


def _read_definition(rule_id: str, _: str, raw: bytes) -> Defined:
    data = _DEFINITIONS.decode(raw)
    content = None
    if data.content_in is None:
        content = decode_content({"content": data.content, "base64": data.base64})
    return Defined(
        rule_id,
        data.path,
        content,
        data.source,
        data.format,
        data.sha256,
        data.rule,
        data.rules,
        data.links,
    )


def _read_removal(rule_id: str, _: str, __: bytes) -> Removed:
    return Removed(rule_id)


def _read_state(rule_id: str, type_: str, raw: bytes) -> StateSet:
    return StateSet(rule_id, _STATES.decode(raw).state.value(), type_ == RULE_STATE_EXPIRED)


def _read_rejection(source: str, _: str, raw: bytes) -> Rejected:
    data = _REJECTIONS.decode(raw)
    waits_for: frozenset[str] = data.claim.rule_ids if data.claim is not None else frozenset()
    return Rejected(source, data.path, data.sha256, data.reason, data.line, waits_for)


def _read_end(source: str, _: str, raw: bytes) -> RejectionEnded:
    return RejectionEnded(source, _REJECTIONS.decode(raw).path)


def _read_rename(source: str, _: str, raw: bytes) -> SourceRenamed:
    to = _RENAMES.decode(raw).to
    check_stream(SOURCES + to)
    return SourceRenamed(source, to)


def _read_ignored(source: str, _: str, raw: bytes) -> FilesIgnored:
    return FilesIgnored(source, _IGNORED.decode(raw).ignored)


def _read_hold(_: str, __: str, raw: bytes) -> HoldBegun:
    data = _HOLDS.decode(raw)
    return HoldBegun(data.position, data.by, data.reason)


def _read_release(_: str, __: str, ___: bytes) -> HoldEnded:
    return HoldEnded()


_READERS: Final[dict[tuple[str, str], Callable[[str, str, bytes], Meaning]]] = {
    (RULES[:-1], RULE_DEFINED): _read_definition,
    (RULES[:-1], RULE_REMOVED): _read_removal,
    (SOURCES[:-1], RULE_REJECTED): _read_rejection,
    (SOURCES[:-1], REJECTION_ENDED): _read_end,
    (SOURCES[:-1], SOURCE_RENAMED): _read_rename,
    (SOURCES[:-1], FILES_IGNORED): _read_ignored,
    (HOLDS[:-1], RULES_HELD): _read_hold,
    (HOLDS[:-1], RULES_RELEASED): _read_release,
    (STATES[:-1], RULE_STATE_SET): _read_state,
    (STATES[:-1], RULE_STATE_EXPIRED): _read_state,
}
