"""From events to what the replica file says: what stands, and the latest changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from projections.directory.content import OutdatedError
from projections.rules import fold
from projections.rules.last_good import is_in_force
from projections.rules.model import ChangeKind, RuleState, encode_rule, encode_state
from projections.rules.restated import since

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eventstore.log.events import JSON, Event

RECENT_CHANGES: Final = 1_000
RECENT_BYTES: Final = 256 * 1024
"""How many changes, and how many bytes of them, the file holds beside what stands: whole
commits, the newest. A follower that was away for longer gets the last change of each rule."""

NOTHING: Final = msgspec.Raw(b"null")
"""The value of what was removed or redacted."""


class Standing(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The last good version of a rule or a state, as JSON."""

    position: int
    type: str
    value: msgspec.Raw


class Change(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One logged change; ``value`` is JSON, ``hash`` the chain's at its position, in hex."""

    position: int
    commit: int
    hash: str
    kind: ChangeKind
    rule_id: str
    value: msgspec.Raw


class ReplicaFold:
    """Moves what stands and the recent changes on; what it was given stays as it was."""

    def __init__(
        self, rules: Mapping[str, Standing], states: Mapping[str, Standing], recent: list[Change]
    ) -> None:
        self.latest: dict[ChangeKind, dict[str, Standing]] = {
            "definition": dict(rules),
            "state": dict(states),
        }
        self.recent = recent.copy()

    def apply(self, event: Event) -> None:
        """Take one event in.

        Raises OutdatedError where only a rebuild takes out what was redacted.
        """
        match fold.read_event(event):
            case fold.Defined(rule_id=rule_id) as rule:
                where: dict[str, JSON] = {"sha256": rule.sha256, "position": event.position}
                value = encode_rule(rule.compiled(RuleState())) | where
                self._put(event, "definition", rule_id, event.type, _encode(value))
            case fold.Removed(rule_id):
                self._put(event, "definition", rule_id, event.type, NOTHING)
            case fold.StateSet(rule_id, state):
                self._put(event, "state", rule_id, event.type, _encode(encode_state(state)))
            case fold.StateErased(rule_id):
                self._put(event, "state", rule_id, event.type, NOTHING)
            case fold.Erased() as erased:
                self._erase(event, erased)

    def _erase(self, event: Event, erased: fold.Erased) -> None:
        """Take content back: for followers that is a change, at the redaction's own position."""
        if erased.instead is None:
            return
        at, rule_id = erased.position, erased.instead.rule_id
        kind: ChangeKind = "definition" if isinstance(erased.instead, fold.Removed) else "state"
        self.recent = [
            msgspec.structs.replace(change, value=NOTHING) if change.position == at else change
            for change in self.recent
        ]
        known = self.latest[kind].get(rule_id)
        if not is_in_force(erased, None if known is None else known.position):
            return
        if known is None or known.position < at:
            # It could not be used, and a rebuild lists it as a removal at its own place.
            raise OutdatedError(at)
        self._put(event, kind, rule_id, known.type, NOTHING)

    def _put(
        self, event: Event, kind: ChangeKind, rule_id: str, type_: str, value: msgspec.Raw
    ) -> None:
        position, hash_ = since(event)
        change = Change(position, event.commit, hash_.hex(), kind, rule_id, value)
        self.put(type_, change)

    def put(self, type_: str, change: Change) -> None:
        """Take one change in; ``type_`` is that of its event."""
        self.latest[change.kind][change.rule_id] = Standing(change.position, type_, change.value)
        self.recent.append(change)


def newest(recent: list[Change], floor: int) -> tuple[list[Change], int]:
    """Return the newest whole commits that fit, and the position that they follow."""
    size, first = 0, len(recent)
    for index in range(len(recent) - 1, -1, -1):
        change = recent[index]
        size += len(change.value) + len(change.rule_id)
        if size > RECENT_BYTES or len(recent) - index > RECENT_CHANGES:
            break
        if index == 0 or recent[index - 1].commit != change.commit:
            first = index
    return recent[first:], recent[first - 1].commit if first else floor


def _encode(value: dict[str, JSON]) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))
