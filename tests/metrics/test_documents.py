"""docs/observing.md lists the metrics that the product shows, each of them and no other."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest

from eventstore import EventStore
from eventstore.cli.metrics import contributed_collectors
from eventstore.metrics.registry import OWN, about_collecting

if TYPE_CHECKING:
    from eventstore.metrics.model import Metric

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def anyio_backend() -> str:
    """What is there to read is the same on both event loops."""
    return "asyncio"


async def shown() -> list[Metric]:
    """Return every metric that a server of an empty log shows."""
    from eventstore.server._metrics import ServerMetrics

    async with EventStore.open("memory://") as store:
        collectors = {**OWN, **contributed_collectors(), "": ServerMetrics(store, {}).read}
        found = [one for collect in collectors.values() for one in await collect(store)]
    return [*found, *about_collecting({}, 0)]


def row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    meaning = metric.help[0].lower() + metric.help[1:-1]
    return f"| `{metric.name}` | {metric.kind} | {labels} | {meaning} |"


async def test_every_metric_is_in_the_list_as_it_describes_itself() -> None:
    text = await anyio.to_thread.run_sync(partial((ROOT / "docs/observing.md").read_text))
    listed = text.partition("<!-- metrics -->\n")[2].partition("<!-- end -->")[0]
    rows = [row(metric) for metric in await shown()]
    assert len(rows) > 30
    assert listed.splitlines()[2:] == rows


async def test_names_say_units_and_kinds_as_prometheus_has_them() -> None:
    for metric in await shown():
        assert metric.name.startswith("eventstore_")
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric.name
        assert metric.help.endswith(".")
