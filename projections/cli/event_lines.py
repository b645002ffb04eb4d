"""How events of rules are said in one line: a verb, and what it was done to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eventstore.cli.times import show_stored_time

if TYPE_CHECKING:
    from eventstore import Event

Line = tuple[str, str]


def _data(event: Event) -> dict[str, Any]:
    data = event.data
    return data if isinstance(data, dict) else {}


def definition(event: Event) -> Line | None:
    """Describe a rule that was added or changed."""
    data = _data(event)
    verb = "added" if data.get("previous_path") is None else "changed"
    return (verb, _rule(data) + _origin(event)) if data else None


def removal(event: Event) -> Line | None:
    """Describe a rule that was removed."""
    data = _data(event)
    return ("removed", _rule(data) + _origin(event)) if data else None


def _origin(event: Event) -> str:
    """Say who synced a file, and the commit that it comes from, as far as that is recorded."""
    parts = []
    if by := event.metadata.get("by"):
        parts.append(f"by {by}")
    if "reverted_to" in event.metadata:
        reason = event.metadata.get("reason")
        to = f"reverted to {event.metadata['reverted_to']}"
        parts.append(f"{to}: {reason}" if reason else to)
    git = event.metadata.get("git")
    if isinstance(git, dict):
        if git.get("uncommitted"):
            parts.append("not committed")
        elif commit := git.get("commit"):
            parts.append(f"{str(commit)[:10]} {git.get('author')}: {git.get('subject')}")
    return f"  ({'; '.join(parts)})" if parts else ""


def _rule(data: dict[str, Any]) -> str:
    previous = data.get("previous_path") or data.get("path")
    moved = f" (was {previous})" if previous != data.get("path") else ""
    return f"{data.get('rule_id')}  {data.get('path')}{moved}"


def file_diff(before: Event | None, event: Event) -> list[str]:
    """Return what an event did to the file of its rule; of the rules of one file, one has it."""
    # Every command that prints events imports this module.
    from projections.rules.differences import diff_contents  # noqa: PLC0415
    from projections.rules.fold import Defined, read_event  # noqa: PLC0415

    old, new = (None if one is None else read_event(one) for one in (before, event))
    was, now = (one if isinstance(one, Defined) else None for one in (old, new))
    return diff_contents(
        was.content if was else None,
        now.content if now else None,
        was.path if was else None,
        now.path if now else None,
    )


def rejection(event: Event) -> Line | None:
    """Describe a file that is no valid rule."""
    data = _data(event)
    line = f":{data['line']}" if data.get("line") else ""
    return ("rejected", f"{data.get('path')}{line}: {data.get('reason')}") if data else None


def rejection_end(event: Event) -> Line | None:
    """Describe a file that is not rejected any more."""
    data = _data(event)
    return ("cleared", str(data.get("path"))) if data else None


def source_renamed(event: Event) -> Line | None:
    """Describe a source that has another name from here on."""
    data = _data(event)
    return ("renamed", f"source {data.get('source')} to {data.get('to')}") if data else None


def state(event: Event) -> Line | None:
    """Describe a state that was set: until when, by whom and why."""
    data = _data(event)
    state = data.get("state")
    if not isinstance(state, dict):
        return None
    parts = [f"{data.get('rule_id')}  {state.get('state')}"]
    if state.get("confidence_max") is not None:
        parts.append(f"to {state['confidence_max']}")
    if state.get("expires_at"):
        parts.append(f"until {show_stored_time(state['expires_at'])}")
    parts.append(f"by {state.get('set_by')}")
    if state.get("reason"):
        parts.append(f"({state['reason']})")
    return "state", " ".join(parts)


def expiry(event: Event) -> Line | None:
    """Describe a state that has ended by time."""
    data = _data(event)
    return ("expired", f"{data.get('rule_id')}  enabled") if data else None
