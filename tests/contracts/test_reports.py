"""What workers tell of themselves is kept beside the log: one record each, for a while."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from support.logs import some

from eventstore import EventStore, InvalidInputError, LimitExceededError, limits
from eventstore.limits import MAX_CONSUMER_BYTES, MAX_REPORT_BYTES

if TYPE_CHECKING:
    from eventstore.testing import FakeClock

pytestmark = pytest.mark.anyio

HOSTILE = ("../../etc", "<script>", "a'; DROP TABLE event; --", "Ω" * 100, "-rf", "a/b?c#d%2F")


async def told(store: EventStore) -> dict[str, str]:
    return {one.name: one.report for one in await store.reports()}


@pytest.mark.any_past
async def test_a_worker_has_one_record_which_goes_with_it(
    store: EventStore, clock: FakeClock
) -> None:
    assert await told(store) == {}
    await store.forget_report("nobody")
    position = (await store.head()).position
    for name in HOSTILE:
        await store.store_report(name, "first")
        await store.store_report(name, f"of {name}")
    assert await told(store) == {name: f"of {name}" for name in sorted(HOSTILE)}
    assert {one.told_us for one in await store.reports()} == {clock.now_us}
    assert (await store.head()).position == position
    await store.forget_report(HOSTILE[0])
    async with store.subscribe_changes(consumer=HOSTILE[1]):
        pass
    await store.remove_consumer(HOSTILE[1])
    assert await told(store) == {name: f"of {name}" for name in sorted(HOSTILE[2:])}
    await store.append("a/1", some(1))


@pytest.mark.any_past
async def test_the_records_of_workers_that_are_gone_for_long_are_removed(
    store: EventStore, clock: FakeClock
) -> None:
    await store.store_report("gone", "{}")
    clock.advance(timedelta(days=6))
    await store.store_report("stays", "{}")
    clock.advance(timedelta(days=2))
    await store.store_report("stays", "{}")
    assert sorted(await told(store)) == ["gone", "stays"]
    await store.store_report("new", "{}")
    assert sorted(await told(store)) == ["new", "stays"]


async def test_the_number_of_records_is_bounded(
    store: EventStore, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of workers that are silent for an hour make room; others are told again as before."""
    monkeypatch.setattr(limits, "MAX_REPORTS", 3)
    for name in "abc":
        await store.store_report(name, "first")
        clock.advance(timedelta(minutes=20))
    with pytest.raises(LimitExceededError, match="4 is over the limit of 3"):
        await store.store_report("d", "first")
    await store.store_report("c", "second")
    clock.advance(timedelta(seconds=1))
    await store.store_report("d", "first")
    assert await told(store) == {"b": "first", "c": "second", "d": "first"}


@pytest.mark.any_past
async def test_a_record_that_cannot_be_stored_is_refused(store: EventStore) -> None:
    for name, report in (("", "x"), ("a\nb", "x"), ("w", "\ud800"), ("w", "a\0b"), ("w", 5)):
        with pytest.raises(InvalidInputError):
            await store.store_report(name, report)  # type: ignore[arg-type]
    for name, report in (("w" * (MAX_CONSUMER_BYTES + 1), ""), ("w", "x" * (MAX_REPORT_BYTES + 1))):
        with pytest.raises(LimitExceededError):
            await store.store_report(name, report)
    assert await told(store) == {}
