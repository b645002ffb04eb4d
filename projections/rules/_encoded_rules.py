"""Rules as JSON, which is kept: most rules are as they were at the last request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from projections.rules.events import RULES
from projections.rules.fold import Defined, read_event
from projections.rules.model import RuleState, encode_rule, encode_state

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventstore import Event
    from projections.rules._rule_index import RuleIndex

_ENABLED: Final = msgspec.json.encode(encode_state(RuleState()))


class EncodedRules:
    """The rules of an index as JSON; ``state_of`` gives the effective state of one."""

    def __init__(self, index: RuleIndex, state_of: Callable[[str], RuleState]) -> None:
        self._index = index
        self._state_of = state_of
        self._known: dict[str, tuple[int, bytes]] = {}
        """By stream, the position of a rule's event, and the rule as JSON that is left open."""

    def rules(self) -> list[msgspec.Raw]:
        """Return every rule that stands, with its state, by id."""
        return [
            msgspec.Raw(b'%b,"state":%b}' % (text, self._state(event.stream)))
            for event in self._index.rule_events()
            if (text := self._definition(event))
        ]

    def _definition(self, event: Event) -> bytes:
        """Return a rule without its state; empty for a removal."""
        position, text = self._known.get(event.stream, (0, b""))
        if position != event.position:
            says = read_event(event)
            text = b""
            if isinstance(says, Defined):
                text = msgspec.json.encode(definition_values(event, says))[:-1]
            self._known[event.stream] = event.position, text
        return text

    def _state(self, stream: str) -> bytes:
        rule_id = stream.removeprefix(RULES)
        if self._index.state(rule_id) is None:
            return _ENABLED
        return msgspec.json.encode(encode_state(self._state_of(rule_id)))


def definition_values(event: Event, rule: Defined) -> dict[str, Any]:
    """Return what a definition says, as JSON, without its file."""
    return {
        **encode_rule(rule.compiled(RuleState())),
        "revision": event.version,
        "position": event.position,
        "defined_at": event.recorded_at.isoformat(),
        "path": rule.path,
        "source": rule.source,
        "format": rule.format,
        "sha256": rule.sha256,
    }
