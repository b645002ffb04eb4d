"""Metrics of sources of rules and of projections: what ``status`` says of them, as numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from eventstore.log.redaction import REDACTIONS
from eventstore.metrics.model import Metric
from projections.elsewhere import read_elsewhere
from projections.rules.events import SOURCES
from projections.rules.sources.lease import NOTE, source_owners
from projections.rules.standing_rules import read_ignored, read_rejections
from projections.tables.view_model import Look
from projections.tables.view_states import describe_views
from projections.troubles import read_troubles

if TYPE_CHECKING:
    from collections.abc import Iterable

    from eventstore import EventStore
    from eventstore.metrics.model import Sample

_read_before: WeakKeyDictionary[EventStore, tuple[object, _Files]] = WeakKeyDictionary()
"""What was read of the sources' streams, by what they were then: they seldom change."""

_Files = tuple[dict[str, int], dict[str, int]]
"""How many files of each source are rejected, and how many were ignored."""


async def source_metrics(store: EventStore) -> list[Metric]:
    """Read the sources of rules that are followed, and the files that are not in force."""
    owners = await source_owners(store)
    rejected, ignored = await _files(store)
    ignored = ignored | {one.name: one.ignored for one in owners if not one.trouble}
    names = sorted({*rejected, *ignored, *(one.name for one in owners)})
    return [
        _by_source(
            "eventstore_source_trouble",
            "1 while the master of a source cannot do its work.",
            ((one.name, _is_in_trouble(one.trouble)) for one in owners),
        ),
        _by_source(
            "eventstore_source_rejected_files",
            "Files of a source that are rejected: their last good version is in force.",
            ((name, rejected.get(name, 0)) for name in names),
        ),
        _by_source(
            "eventstore_source_ignored_files",
            "Files of a source that are no rules by their names.",
            ((name, ignored.get(name, 0)) for name in names),
        ),
    ]


def _is_in_trouble(trouble: str) -> int:
    return int(bool(trouble) and not trouble.startswith(NOTE))


def _by_source(name: str, help_: str, samples: Iterable[tuple[str, int]]) -> Metric:
    ordered = sorted(samples, key=lambda sample: -sample[1])
    return Metric(name, help_, "gauge", ("source",), [((one,), value) for one, value in ordered])


async def _files(store: EventStore) -> _Files:
    """Return the files that are rejected and ignored; read again once their streams have grown."""
    versions = [
        (one.name, one.version)
        for prefix in (SOURCES, REDACTIONS)
        async for one in store.streams(prefix)
    ]
    key = (await store.head()).log_id, versions
    known = _read_before.get(store)
    if known is None or known[0] != key:
        rejected = {name: len(files) for name, files in (await read_rejections(store)).items()}
        known = key, (rejected, await read_ignored(store))
        _read_before[store] = known
    return known[1]


async def projection_metrics(store: EventStore) -> list[Metric]:
    """Read the runs of projections that fail now, and the views in other databases."""
    failing = [((one.projection, one.place), 1) for one in await read_troubles(store)]
    return [
        Metric(
            "eventstore_projection_failing",
            "1 while the runs of a projection fail and are tried again.",
            "gauge",
            ("projection", "place"),
            failing,
        ),
        *_elsewhere(await _views_elsewhere(store)),
    ]


async def _views_elsewhere(store: EventStore) -> list[dict[str, Any]]:
    told, position = await read_elsewhere(store), (await store.head()).position
    look = Look(position, [], 0.0)
    found = describe_views(look, None, [], "", told, store.clock())
    return sorted(found, key=lambda view: (view["failed_at"] is None, -view["lag"]))


def _elsewhere(views: Iterable[dict[str, Any]]) -> list[Metric]:
    labels = ("view", "version", "place")
    named: list[tuple[tuple[str, ...], dict[str, Any]]] = [
        ((str(view["name"]), str(view["version"]), str(view["place"])), view) for view in views
    ]
    lags: list[Sample] = [(label, view["lag"]) for label, view in named]
    stopped: list[Sample] = [(label, int(view["failed_at"] is not None)) for label, view in named]
    return [
        Metric(
            "eventstore_view_elsewhere_lag_events",
            "Events that a view in another database does not show yet, as its runner told last.",
            "gauge",
            labels,
            lags,
        ),
        Metric(
            "eventstore_view_elsewhere_stopped",
            "1 where a view in another database stands before an event that it cannot apply.",
            "gauge",
            labels,
            stopped,
        ),
    ]
