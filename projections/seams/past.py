"""What a seam knows of the past of a log that was trimmed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventstore.errors import HistoryGoneError

if TYPE_CHECKING:
    from datetime import datetime

    from eventstore import EventStore


async def check_position_is_known(store: EventStore, position: int) -> None:
    """Raise HistoryGoneError where a trim removed events that say what stood at ``position``.

    What trimming keeps says what stood where it ended, and nothing of what stood before. Call this
    after the events were read, so that a trim in between is seen.
    """
    first = (await store.head()).first_position
    if position < first - 1:
        raise _gone(position, first)


async def check_time_is_known(store: EventStore, at: datetime) -> None:
    """Raise HistoryGoneError where a trim removed events that say what stood at the time ``at``.

    A time from the first event of the log on is known.
    """
    first = (await store.head()).first_position
    if first == 1:
        return
    oldest = [event async for event in store.read(limit=1)]
    if not oldest or at < oldest[0].recorded_at:
        raise _gone(first - 2, first)


def _gone(position: int, first: int) -> HistoryGoneError:
    advice = (
        f"what stood before position {first - 1} is unknown: ask for that position or "
        "a later one, or import the archive of the trim into another log and ask there"
    )
    return HistoryGoneError(position, first, advice)
