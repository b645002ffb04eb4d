"""What dead letters need of trimmed events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventstore.archive.keepers import reading_on
from eventstore.changes.rejections import CATEGORY, rejections_beside
from eventstore.outbox.letters import Letters

if TYPE_CHECKING:
    from collections.abc import Iterable

    from eventstore.log.events import Event


@reading_on(CATEGORY)
def keep_letters(events: Iterable[Event]) -> set[int]:
    """Keep each event that a consumer has given up and not done since, and its records.

    Of a consumer without dead letters the last rejection is kept, which ``status`` shows.
    """
    consumers: dict[str, Letters] = {}
    for event in events:
        if event.stream.startswith(CATEGORY):
            stream = rejections_beside(event.stream)
            if stream not in consumers:
                consumers[stream] = Letters(stream)
            consumers[stream].apply(event)
    return {position for letters in consumers.values() for position in letters.needed()}
