"""The status of a log, its notifier and its consumers, as JSON-ready values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from eventstore.changes.rejections import rejection_stream
from eventstore.log.clock import from_microseconds, time_ahead
from eventstore.log.operations import Query
from eventstore.store._reader import read_range

if TYPE_CHECKING:
    from eventstore.changes.feed import ChangeFeed
    from eventstore.changes.protocol import LogReader
    from eventstore.log.events import Event
    from eventstore.log.operations import ConsumerState, Head
    from eventstore.store._log_access import LogAccess


SHOWN_CONSUMERS: Final = 10
"""Consumers that ``status`` describes, those that are furthest behind: each costs two reads."""

SEARCHED_CONSUMERS: Final = 1_000
"""Consumers among which ``status`` looks for those, the first by name: so its cost is bounded."""


async def describe_store(
    log: LogAccess, feed: ChangeFeed, now: int, limit: int | None, among: int | None
) -> dict[str, Any]:
    """Return the state of log, notifier and consumers, as JSON-ready values.

    ``now`` is the time in microseconds, ``limit`` the number of consumers that are described, those
    that are furthest behind of the first ``among`` by name.
    """
    head = await log.head()
    facts = await log.run(log.backend.describe)
    more = False
    if limit is None:
        states = await log.consumers()
        count = len(states)
    else:
        count, more, states = await log.slowest_consumers(limit, among)
    consumers = [await describe_consumer(log, one, head, now) for one in states]
    return {
        "url": log.url,
        **facts,
        **feed.notifier_facts(),
        "looks": feed.tail.reads,
        "unused_news": feed.tail.unused_batches,
        "log_id": head.log_id,
        "incarnation": log.incarnation or None,
        "first_position": head.first_position,
        "position": head.position,
        **_age(head, now),
        "hash": head.hash.hex(),
        "views": await _describe_views(log, head, now),
        "consumer_count": count,
        **({"more_consumers": True} if more else {}),
        "consumers": consumers,
    }


async def _describe_views(log: LogAccess, head: Head, now: int) -> list[dict[str, Any]]:
    """Return the table projections in the log's database, as JSON-ready values."""
    skipped = log.backend.skipped
    return [
        {
            "name": view.name,
            "version": view.version,
            "position": view.position,
            "lag": head.position - view.position,
            "newer_than_here": view.name in skipped,
            "failed_at": view.failed_at,
            "failure": view.reason,
            "failed_seconds_ago": None
            if view.failed_us is None
            else seconds_between(view.failed_us, now),
        }
        for view in await log.views()
    ]


def _age(head: Head, now: int) -> dict[str, Any]:
    """Return when the last event was recorded, how long ago, and how far ahead of the clock."""
    if head.position == 0:
        return {"last_event_at": None, "last_event_seconds_ago": None, "recorded_ahead_seconds": 0}
    return {
        "last_event_at": from_microseconds(head.recorded_us).isoformat(),
        "last_event_seconds_ago": round(max(0, now - head.recorded_us) / 1e6, 1),
        "recorded_ahead_seconds": time_ahead(head.recorded_us, now) // 1_000_000,
    }


async def describe_consumer(
    log: LogReader, state: ConsumerState, head: Head, now: int
) -> dict[str, Any]:
    """Return a consumer's state at the time ``now``, in microseconds, as JSON-ready values.

    Its lag in seconds is the age of the first event that it has not done.
    """
    rejection = await _last_rejection(log, state.name)
    waiting_since = now
    at = max(state.cursor.position, head.first_position - 1)
    async for event in read_range(log, after=at, limit=1):
        waiting_since = event.recorded_us
    return {
        "name": state.name,
        "position": state.cursor.position,
        "lag": head.position - state.cursor.position,
        "lag_seconds": seconds_between(waiting_since, now),
        "owner": state.owner,
        "host": state.owner.rpartition(":")[0],
        "seen_seconds_ago": seconds_between(state.seen_us, now),
        "rejections": rejection.version if rejection else 0,
        "last_rejection": rejection.data if rejection else None,
    }


def seconds_between(earlier_us: int, now_us: int) -> float:
    """Return the seconds between two times in microseconds, to a tenth; 0 for a later time."""
    return round(max(0, now_us - earlier_us) / 1e6, 1)


async def _last_rejection(log: LogReader, consumer: str) -> Event | None:
    matching = Query(streams=rejection_stream(consumer), kept=True, oldest=True)
    async for event in read_range(log, matching=matching, backwards=True, limit=1):
        return event
    return None
