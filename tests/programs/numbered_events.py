"""The events that acknowledging_writer and acknowledging_threads append."""

from __future__ import annotations

from eventstore import NewEvent


def numbered_events(name: str, number: int) -> list[NewEvent]:
    """Return one to five events; each id says the call's name and number, and its own part."""
    return [
        NewEvent("T", "x" * number * 40, id=f"{name}-{number}-{part}")
        for part in range(number % 5 + 1)
    ]
