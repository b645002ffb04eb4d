"""Metrics of the fleet: how many workers run the intended rules, without a series per worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventstore.metrics.model import Metric
from projections.rules.fleet import read_fleet

if TYPE_CHECKING:
    from eventstore import EventStore
    from projections.rules.fleet import Fleet


async def fleet_metrics(store: EventStore) -> list[Metric]:
    """Read what workers have told of the rules that they run; no numbers where none has."""
    fleet = await read_fleet(store) if await store.reports() else None
    workers = [] if fleet is None else fleet.counts().items()
    return [
        Metric(
            "eventstore_fleet_workers",
            "Workers by what is said of the rules that they run.",
            "gauge",
            ("verdict",),
            [((verdict,), number) for verdict, number in workers],
        ),
        Metric(
            "eventstore_fleet_loaded_lag_events",
            "Events from what the last worker has loaded to the newest change of rules.",
            "gauge",
            (),
            [] if fleet is None else [((), _lag(fleet))],
        ),
    ]


def _lag(fleet: Fleet) -> int:
    loaded = [worker.report.position for worker in fleet.workers if worker.report is not None]
    return max([0, *(fleet.intended.since - position for position in loaded)])
