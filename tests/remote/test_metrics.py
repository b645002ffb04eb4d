"""Metrics of a store by URL: those of the process, and of the log what its token may read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.logs import some

from eventstore import EventStore
from eventstore.cli.metrics import contributed_collectors
from eventstore.metrics.registry import Metrics

if TYPE_CHECKING:
    from support.served import Served

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("streams", [(), ("order/",)])
async def test_what_a_token_may_not_read_is_left_out_and_no_failure(
    served: Served, streams: tuple[str, ...]
) -> None:
    url = served.new_url("worker", "read", "append", streams=streams)
    async with EventStore.open(url) as store:
        metrics = Metrics(store, contributed_collectors())
        await store.append("order/1", some(2))
        text = (await metrics.text()).decode()
    assert "eventstore_appends_total 1.0" in text
    assert 'eventstore_collector_failed{collector="process"} 0.0' in text
    assert "} 1.0" not in "".join(one for one in text.splitlines() if "collector_failed{" in one)
    assert ("eventstore_consumers " in text) == (not streams)


async def test_a_token_that_is_not_known_any_more_is_a_failure(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with EventStore.open(served.url) as store:
        metrics = Metrics(store)
        monkeypatch.setattr(served.gateway.access, "identify", lambda _request: None)
        text = (await metrics.text()).decode()
    assert 'eventstore_collector_failed{collector="log"} 1.0' in text
    assert 'eventstore_collector_failed{collector="process"} 0.0' in text
