"""What trimming has to keep of the registry, for each bot that is registered.

These are its first registration, which says since when, its last one, and the last deactivation
after that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventstore.archive.keepers import serving
from projections.registry.events import (
    BOT_DEACTIVATED,
    BOTS,
    ends_registration,
    read_registered,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from eventstore.log.events import Event


@serving("registry")
def keep_registry(events: Iterable[Event]) -> Iterable[int]:
    """Choose the events of the registry that must stay; for ``store.trim``."""
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    deactivated: dict[str, int] = {}
    # The log keeps their redactions, and projections look for what those are about.
    redacted: list[int] = []
    for event in events:
        stream = event.stream
        if not stream.startswith(BOTS):
            continue
        if event.redacted:
            redacted.append(event.position)
        if ends_registration(event):
            for known in (first, last, deactivated):
                known.pop(stream, None)
        elif event.type == BOT_DEACTIVATED and stream in first:
            deactivated[stream] = event.position
        elif read_registered(event) is not None:
            first.setdefault(stream, event.position)
            last[stream] = event.position
            deactivated.pop(stream, None)
    return {*first.values(), *last.values(), *deactivated.values(), *redacted}
