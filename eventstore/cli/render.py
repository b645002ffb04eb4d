"""Saying in a line what an event means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rich.table import Table

from eventstore.cli.run import to_json
from eventstore.errors import EventStoreError
from eventstore.log.redaction import EVENT_REDACTED
from projections.rules import events as rule_events

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from eventstore import Event
    from projections.rules import CompiledRule

DATA_WIDTH: Final = 100
"""Characters of an unknown event's data that are shown."""


def describe(event: Event) -> str:
    """Return one line for people: position, time, what happened, to what."""
    time = event.recorded_at.astimezone().strftime("%H:%M:%S")
    return f"{event.position:>6}  {time}  {_meaning(event)}"


def _meaning(event: Event) -> str:
    try:
        data = event.data
    except EventStoreError as error:
        return f"{event.type}  {event.stream}  {error}"
    if event.redacted:
        return f"{event.type:<9} {event.stream}  (redacted)"
    if isinstance(data, dict) and event.type in _SENTENCES:
        verb, template = _SENTENCES[event.type]
        if event.type == rule_events.RULE_DEFINED and data.get("previous_path") is None:
            verb = "added"
        return f"{verb:<9} {template(data)}"
    shown = f"{len(data)} bytes" if isinstance(data, bytes) else to_json(data)
    if len(shown) > DATA_WIDTH:
        shown = shown[: DATA_WIDTH - 1] + "…"
    return f"{event.type:<9} {event.stream}  {shown}"


def _definition(data: dict[str, Any]) -> str:
    previous = data.get("previous_path") or data.get("path")
    moved = f" (was {previous})" if previous != data.get("path") else ""
    return f"{data.get('rule_id')}  {data.get('path')}{moved}"


def _rejection(data: dict[str, Any]) -> str:
    line = f":{data['line']}" if data.get("line") else ""
    return f"{data.get('path')}{line}: {data.get('reason')}"


def _state(data: dict[str, Any]) -> str:
    state = data.get("state") or {}
    parts = [f"{data.get('rule_id')}  {state.get('state')}"]
    if state.get("confidence_max") is not None:
        parts.append(f"to {state['confidence_max']}")
    if state.get("expires_at"):
        parts.append(f"until {state['expires_at']}")
    parts.append(f"by {state.get('set_by')}")
    if state.get("reason"):
        parts.append(f"({state['reason']})")
    return " ".join(parts)


def _redaction(data: dict[str, Any]) -> str:
    by = f" by {data['by']}" if data.get("by") else ""
    what = f"{data.get('type')} at {data.get('position')}, {data.get('stream')}"
    return f"{what}{by} ({data.get('reason')})"


_SENTENCES: Final = {
    EVENT_REDACTED: ("redacted", _redaction),
    rule_events.RULE_DEFINED: ("changed", _definition),
    rule_events.RULE_REMOVED: ("removed", _definition),
    rule_events.RULE_REJECTED: ("rejected", _rejection),
    rule_events.REJECTION_ENDED: ("cleared", lambda data: str(data.get("path"))),
    rule_events.RULE_STATE_SET: ("state", _state),
    rule_events.RULE_STATE_EXPIRED: ("expired", lambda data: f"{data.get('rule_id')}  enabled"),
}


def rule_table(rules: Sequence[CompiledRule]) -> Table:
    """Return a table of rules with their states."""
    table = Table("rule", "version", "state", "name", "set by", "until", "reason", box=None)
    for rule in rules:
        state = rule.state
        shown: str = state.state
        if state.confidence_max is not None:
            shown = f"{shown} to {state.confidence_max}"
        table.add_row(
            rule.rule_id,
            str(rule.rule_version),
            shown,
            rule.name,
            state.set_by or "",
            state.expires_at.isoformat(timespec="minutes") if state.expires_at else "",
            state.reason or "",
        )
    return table


def fact_table(facts: Iterable[tuple[str, object]]) -> Table:
    """Return a table of names and values."""
    table = Table(show_header=False, box=None)
    for name, value in facts:
        table.add_row(name, str(value))
    return table
