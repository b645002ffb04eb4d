"""The metrics of the log itself, and of one process that has it open."""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import anyio

from eventstore.changes.rejections import CATEGORY, rejection_stream
from eventstore.metrics.model import MAX_SERIES, Metric, single
from eventstore.store.status import SEARCHED_CONSUMERS, seconds_between

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from eventstore.log.operations import ConsumerState
    from eventstore.store.event_store import EventStore

REJECTION_STREAMS: Final = 1_000
"""Streams of rejections that are read, the first ones by name: so the cost is bounded."""

_WAKES: Final = ("wakes", "wake_ups", "messages_hints", "messages_news")
"""What the notifiers call the wake-ups that they have received."""


async def log_metrics(store: EventStore) -> list[Metric]:
    """Read the log's positions and sizes, and how far its views are; see Collector."""
    facts = await store.status(consumers=0, among=1)
    last = facts["last_event_at"]
    recorded = None if last is None else datetime.fromisoformat(last).timestamp()
    place = facts.get("file")
    free = None if place is None else await anyio.to_thread.run_sync(_free_bytes, place)
    return [
        single("eventstore_log_position", "Position of the newest event.", facts["position"]),
        single(
            "eventstore_log_first_position",
            "Position of the oldest event that is there.",
            facts["first_position"],
        ),
        single(
            "eventstore_log_last_event_timestamp_seconds",
            "When the newest event was recorded, since the epoch.",
            recorded,
        ),
        single("eventstore_database_bytes", "Size of the log's database.", facts.get("bytes")),
        single(
            "eventstore_wal_bytes",
            "Size of the write-ahead log of a SQLite log.",
            facts.get("wal_bytes"),
        ),
        single(
            "eventstore_disk_free_bytes",
            "Bytes that are free where the file of a SQLite log is.",
            free,
        ),
        *_views(facts["views"]),
    ]


def _free_bytes(place: str) -> int:
    return shutil.disk_usage(Path(place).parent).free


def _views(views: Sequence[Mapping[str, Any]]) -> list[Metric]:
    """Return the table projections of the log's database, those that are furthest behind first."""
    ordered = sorted(views, key=lambda view: (view["failed_at"] is None, -view["lag"]))
    named = [((str(view["name"]),), view) for view in ordered]
    return [
        Metric(
            "eventstore_view_lag_events",
            "Events that a view does not show yet.",
            labels=("view",),
            samples=[(label, view["lag"]) for label, view in named],
        ),
        Metric(
            "eventstore_view_stopped",
            "1 where a view stands before an event that it cannot apply.",
            labels=("view",),
            samples=[(label, int(view["failed_at"] is not None)) for label, view in named],
        ),
    ]


async def consumer_metrics(store: EventStore) -> list[Metric]:
    """Read how far the consumers are, those that are furthest behind first; see Collector."""
    log = store.feed.log
    head = await store.head()
    found = await log.slowest_consumers(MAX_SERIES, SEARCHED_CONSUMERS)
    streams = await log.stream_states(CATEGORY, "", REJECTION_STREAMS)
    rejections = {one.name: one.version for one in streams}
    named = [((state.name,), state) for state in found.states]
    labels = ("consumer",)
    return [
        single("eventstore_consumers", "Named consumers.", found.number),
        Metric(
            "eventstore_consumer_lag_events",
            "Events that a consumer has not done.",
            labels=labels,
            samples=[(one, head.position - state.cursor.position) for one, state in named],
        ),
        Metric(
            "eventstore_consumer_lag_seconds",
            "Age of the oldest event that a consumer has not done.",
            labels=labels,
            samples=[
                (one, await _seconds_behind(store, state, head.first_position))
                for one, state in named
            ],
        ),
        Metric(
            "eventstore_consumer_rejections_total",
            "Events that a consumer has recorded as of no use to it.",
            "counter",
            labels,
            [(one, rejections.get(rejection_stream(state.name), 0)) for one, state in named],
        ),
    ]


async def _seconds_behind(store: EventStore, state: ConsumerState, first_position: int) -> float:
    at = max(state.cursor.position, first_position - 1)
    async for event in store.read(after=at, limit=1):
        return seconds_between(event.recorded_us, store.clock())
    return 0.0


async def process_metrics(store: EventStore) -> list[Metric]:
    """Return what this process has counted, without a read of the database; see Collector."""
    return [*_writes(store), *_followers(store), *_notifier(store)]


def _writes(store: EventStore) -> list[Metric]:
    counts = store.feed.log.writer.count()
    return [
        single("eventstore_appends_total", "Appends stored.", counts.appends, "counter"),
        single("eventstore_appended_events_total", "Events stored.", counts.events, "counter"),
        single(
            "eventstore_append_duplicates_total",
            "Appends of events that were stored before.",
            counts.duplicates,
            "counter",
        ),
        single(
            "eventstore_append_conflicts_total",
            "Appends refused for another version of a stream, or an id that is taken.",
            counts.conflicts,
            "counter",
        ),
        single(
            "eventstore_append_failures_total", "Appends that failed.", counts.failures, "counter"
        ),
        single(
            "eventstore_append_seconds",
            "Seconds from the call of an append until it was durable.",
            counts.seconds,
            "histogram",
        ),
        single(
            "eventstore_append_group_size",
            "Appends that one transaction has stored.",
            counts.groups,
            "histogram",
        ),
    ]


def _followers(store: EventStore) -> list[Metric]:
    positions = [one.position for one in store.feed.following]
    slowest = min(positions, default=None)
    newest = store.feed.log.newest.position
    return [
        single("eventstore_followers", "Subscriptions that are open.", len(positions)),
        single(
            "eventstore_follower_position",
            "Position of the subscription that is furthest behind.",
            slowest,
        ),
        single(
            "eventstore_follower_lag_events",
            "Events before the head, as last read, that this subscription has not given out.",
            None if slowest is None else max(0, newest - slowest),
        ),
    ]


def _notifier(store: EventStore) -> list[Metric]:
    facts = store.feed.notifier_facts()
    labels = ("notifier",)
    kind = (str(facts["notifier"]),)

    def one(name: str, help_: str, value: float | None, type_: str = "gauge") -> Metric:
        samples = () if value is None else ((kind, value),)
        return Metric(name, help_, type_, labels, samples)  # type: ignore[arg-type]

    listening = facts.get("listening")
    wakes = [facts[name] for name in _WAKES if name in facts]
    reconnects = facts.get("reconnects")
    return [
        one(
            "eventstore_notifier_trouble",
            "1 while the notifier does not work: followers poll then.",
            int("trouble" in facts or listening == 0),
        ),
        one(
            "eventstore_notifier_wake_ups_total",
            "Wake-ups received.",
            sum(map(int, wakes)),
            "counter",
        ),
        one(
            "eventstore_notifier_reconnects_total",
            "Connections that the notifier has made again.",
            None if reconnects is None else int(reconnects),
            "counter",
        ),
    ]
