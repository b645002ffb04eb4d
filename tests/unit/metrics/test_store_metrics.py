"""What the metrics say of a store: appends by outcome, consumers, followers, failing collectors."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
from support.logs import some

from eventstore import NO_STREAM, ConflictError, EventStore, NewEvent
from eventstore.errors import NotServedError, StorageError
from eventstore.metrics.model import Distribution, Metric, single
from eventstore.metrics.registry import Metrics
from eventstore.metrics.store_metrics import consumer_metrics, log_metrics, process_metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """Reading metrics waits for nothing of its own."""
    return "asyncio"


def numbers(metrics: Sequence[Metric]) -> dict[str, Any]:
    """Return each metric's samples; a metric without labels is its number."""
    return {
        one.name: dict(one.samples) if one.labels else dict(one.samples).get(()) for one in metrics
    }


def counts(distribution: Distribution) -> list[int]:
    return [count for _, count in distribution.cumulative()]


async def test_appends_are_counted_by_what_became_of_them() -> None:
    async with EventStore.open("memory://") as store:
        await store.append("a/1", some(1))
        found = numbers(await process_metrics(store))
        assert found["eventstore_appends_total"] == 0  # Counted from here on.
        again = [NewEvent("Placed", {}, id="once")]
        await store.append("a/2", again)
        await store.append("a/2", again)
        await store.append("a/2", some(3))
        with pytest.raises(ConflictError):
            await store.append("a/1", some(1), expected=NO_STREAM)
        found = numbers(await process_metrics(store))
    names = ("appends", "appended_events", "append_duplicates", "append_conflicts")
    assert [found[f"eventstore_{name}_total"] for name in names] == [2, 4, 1, 1]
    assert found["eventstore_append_failures_total"] == 0
    assert counts(found["eventstore_append_seconds"])[-1] == 2
    assert counts(found["eventstore_append_group_size"])[0] == 2


async def test_consumers_and_followers_say_how_far_behind_they_are() -> None:
    async with EventStore.open("memory://") as store:
        await store.append("a/1", some(3))
        async with store.subscribe_changes(consumer="slow") as changes:
            event = await anext(changes)
            await changes.reject(event, "of no use")
            await changes.ack(flush=True)
            head = (await store.head()).position
            consumers = numbers(await consumer_metrics(store))
            process = numbers(await process_metrics(store))
            log = numbers(await log_metrics(store))
        after = numbers(await process_metrics(store))
    slow = ("slow",)
    assert consumers["eventstore_consumers"] == 1
    assert consumers["eventstore_consumer_lag_events"] == {slow: head - 1}
    assert consumers["eventstore_consumer_lag_seconds"][slow] >= 0
    assert consumers["eventstore_consumer_rejections_total"] == {slow: 1}
    assert (process["eventstore_followers"], after["eventstore_followers"]) == (1, 0)
    assert process["eventstore_follower_position"] == 1
    assert process["eventstore_follower_lag_events"] == head - 1
    assert (log["eventstore_log_position"], log["eventstore_log_first_position"]) == (head, 1)


async def test_a_collector_that_fails_leaves_the_others_and_is_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def broken(_store: EventStore) -> list[Metric]:
        raise StorageError("the other database", "it is away")

    async def taken(_store: EventStore) -> list[Metric]:
        return [single("eventstore_log_position", "Taken.", 1)]

    async def elsewhere(_store: EventStore) -> list[Metric]:
        raise NotServedError("https://rules.example", "that")

    caplog.set_level(logging.WARNING, "eventstore.metrics")
    collectors = {"broken": broken, "taken": taken, "elsewhere": elsewhere}
    async with EventStore.open("memory://") as store:
        metrics = Metrics(store, collectors)
        texts = [(await metrics.text()).decode() for _ in range(2)]
    for text in texts:
        assert "eventstore_log_position 0.0" in text
        for name, failed in (("broken", 1), ("taken", 1), ("log", 0)):
            assert f'eventstore_collector_failed{{collector="{name}"}} {failed}.0' in text
        assert "elsewhere" not in text
    # Once for each reason, however often the metrics are read.
    assert sorted("'broken'" in one for one in caplog.messages) == [False, True]


async def test_no_more_series_are_shown_than_a_metric_allows() -> None:
    async def many(_store: EventStore) -> list[Metric]:
        samples = [((f"s{number}",), float(number)) for number in range(150)]
        return [Metric("shop_orders", "Orders.", "gauge", ("shop",), samples)]

    async with EventStore.open("memory://") as store:
        text = (await Metrics(store, {"many": many}).text()).decode()
    assert text.count("shop_orders{") == 100
    assert 'shop="s99"' in text
    assert "eventstore_series_left_out 50.0" in text


def test_a_distribution_counts_up_to_each_bound() -> None:
    distribution = Distribution((1, 10))
    for value in (0.5, 1, 2, 100):
        distribution.add(value)
    assert distribution.cumulative() == [(1, 2), (10, 3), (float("inf"), 4)]
    assert distribution.total == 103.5
