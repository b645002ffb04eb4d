"""Saying in one line what an event means, by the words of the package that the event is of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from eventstore.cli.contributions import contributions
from eventstore.cli.json_text import to_json
from eventstore.cli.output import Output, write_warning
from eventstore.cli.times import show_time
from eventstore.errors import EventStoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventstore import Event
    from eventstore.cli.contributions import Contribution
    from eventstore.cli.manifest import EventLines

DATA_WIDTH: Final = 100
"""Characters of an event's data that are shown where no package describes its type."""

UNREADABLE: Final = (EventStoreError, ValueError, RecursionError)
"""What reading an event's data raises where what is stored cannot be read."""

_describers: dict[str, Callable[[Event], Any] | None] = {}
"""Functions by import path; ``None`` where one cannot be imported, which is told once."""

_failed: set[str] = set()
"""Import paths of the functions that failed for an event, which is told once for each."""


def show_event(output: Output, event: Event, **more: object) -> None:
    """Print an event: a line for people, or its values and ``more`` as JSON.

    One whose data cannot be read is shown without, and does not end the command.
    """
    if not output.json:
        output.value(None, describe(event))
        return
    try:
        values = event.to_dict()
    except UNREADABLE as error:
        values = {
            "position": event.position,
            "stream": event.stream,
            "version": event.version,
            "id": event.id,
            "type": event.type,
            "data": None,
            "error": str(error),
        }
    output.value({**values, **more}, None)


def describe(event: Event) -> str:
    """Return one line for people: position, time, what happened, to what."""
    time = show_time(event.recorded_at)
    return f"{event.position:>6}  {time}  {_meaning(event)}"


def _meaning(event: Event) -> str:
    try:
        data = event.data
    except UNREADABLE as error:
        return f"{event.type}  {event.stream}  {error}"
    if event.redacted:
        return f"{event.type:<9} {event.stream}  (redacted)"
    described = _described(event)
    if described is not None:
        verb, rest = described
        return f"{verb:<9} {rest}"
    shown = f"{len(data)} bytes" if isinstance(data, bytes) else to_json(data).decode()
    if len(shown) > DATA_WIDTH:
        shown = shown[: DATA_WIDTH - 1] + "…"
    return f"{event.type:<9} {event.stream}  {shown}"


def _described(event: Event) -> tuple[str, str] | None:
    """Return the verb and the rest of the line from a manifest that knows the type."""
    contribution = _find(event)
    return None if contribution is None else _call(contribution, event)


def _find(event: Event) -> Contribution[EventLines] | None:
    """Return what a manifest has for an event's type, in its stream, its category or anywhere."""
    found = contributions().event_lines
    category = event.stream.partition("/")[0] + "/"
    for streams in (event.stream, category, ""):
        if (contribution := found.get((event.type, streams))) is not None:
            return contribution
    return None


def has_diff(event: Event) -> bool:
    """Whether a manifest says how an event differs from the one before."""
    found = _find(event)
    return found is not None and bool(found.item.diff)


def diff_of(before: Event | None, event: Event) -> list[str]:
    """Return the unified diff of an event to the one before; empty where no manifest has one."""
    found = _find(event)
    if found is None or not found.item.diff:
        return []
    try:
        return [str(line) for line in found.load(found.item.diff)(before, event)]
    except (Exception, SystemExit) as error:
        origin = f"distribution {found.distribution!r}: {found.item.diff}"
        write_warning(f"{origin}: event {event.position} is shown without its diff: {error!r}")
        return []


def _call(contribution: Contribution[EventLines], event: Event) -> tuple[str, str] | None:
    """Call a manifest's function; ``None`` where it has no line for this event, or fails at it.

    An event that one function cannot describe says nothing about the next event.
    """
    path, origin = contribution.item.path, f"distribution {contribution.distribution!r}"
    if path not in _describers:
        try:
            _describers[path] = contribution.load(path)
        except Exception as error:
            _describers[path] = None
            write_warning(f"{origin}: {path}: {error}")
    describer = _describers[path]
    if describer is None:
        return None
    try:
        described = describer(event)
        if described is None:
            return None
        verb, rest = map(str, described)
    except (Exception, SystemExit) as error:
        if path not in _failed:
            _failed.add(path)
            write_warning(f"{origin}: {path}: event {event.position} is shown raw: {error!r}")
        return None
    return verb, rest


def describe_redaction(event: Event) -> tuple[str, str] | None:
    """Describe the log's own event about an event whose content was erased."""
    data = event.data
    if not isinstance(data, dict):
        return None
    by = f" by {data['by']}" if data.get("by") else ""
    what = f"{data.get('type')} at {data.get('position')}, {data.get('stream')}"
    return "redacted", f"{what}{by} ({data.get('reason')})"
