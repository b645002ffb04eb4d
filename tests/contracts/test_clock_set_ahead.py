"""A clock that was set ahead for one append, and what is said of it."""

from __future__ import annotations

import logging
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from support.logs import some

from eventstore.errors import ConfigError
from eventstore.limits import MAX_TIME_US
from eventstore.log.events import StreamWrite
from eventstore.log.validation import check_append
from eventstore.storage.backends import make_backend
from eventstore.storage.base import SqlBackend
from eventstore.testing import START_US, FakeClock

if TYPE_CHECKING:
    from pathlib import Path

    from eventstore import EventStore

pytestmark = pytest.mark.anyio

YEARS_US = 20 * 365 * 86_400_000_000
DAY_US = 86_400_000_000


def warnings(caplog: pytest.LogCaptureFixture) -> int:
    return sum("ahead of the clock" in record.getMessage() for record in caplog.records)


@pytest.mark.any_past
@pytest.mark.parametrize("shown", [MAX_TIME_US + 1, -1], ids=["year 10000", "1969"])
async def test_a_time_that_no_event_can_have_is_refused(
    store: EventStore, clock: FakeClock, shown: int
) -> None:
    await store.append("a/1", some(1))
    before, clock.now_us = clock.now_us, shown
    with pytest.raises(ConfigError, match="the clock shows"):
        await store.append("a/1", some(1))
    clock.now_us = before
    assert (await store.append("a/1", some(1))).version == 2
    assert (await store.verify()).ok
    assert (await store.status())["recorded_ahead_seconds"] == 0


async def test_an_append_warns_once_per_episode(
    store: EventStore, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    await store.append("a/1", some(1))
    clock.now_us += YEARS_US
    await store.append("a/1", some(1))
    assert warnings(caplog) == 0
    clock.now_us -= YEARS_US
    for _ in range(3):
        await store.append("a/1", some(1))
    assert warnings(caplog) == 1
    clock.now_us += YEARS_US + 1
    await store.append("a/1", some(1))
    clock.now_us -= 120_000_000
    await store.append("a/1", some(1))
    assert warnings(caplog) == 2


async def test_an_append_within_a_caller_s_transaction_warns_too(
    lasting_url: str, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    backend = make_backend(lasting_url, clock, ())
    assert isinstance(backend, SqlBackend)
    backend.open()
    try:
        clock.now_us += YEARS_US
        backend.write([check_append([StreamWrite("a/1", some(1))])])
        clock.now_us -= YEARS_US
        for _ in range(2):
            with closing(backend.user_transaction(batch=False)) as transaction:
                transaction.begin()
                transaction.append(check_append([StreamWrite("a/1", some(1))]))
                transaction.commit()
        assert warnings(caplog) == 1
    finally:
        backend.close()


async def test_clocks_that_differ_a_little_are_no_matter(
    store: EventStore, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    await store.append("a/1", some(1))
    clock.now_us -= 60_000_000
    await store.append("a/1", some(1))
    assert warnings(caplog) == 0
    assert (await store.status())["recorded_ahead_seconds"] == 0


async def test_status_says_how_far_recorded_times_are_ahead(
    store: EventStore, clock: FakeClock
) -> None:
    assert (await store.status())["recorded_ahead_seconds"] == 0
    clock.now_us += YEARS_US
    await store.append("a/1", some(1))
    assert (await store.status())["recorded_ahead_seconds"] == 0
    clock.now_us -= YEARS_US
    assert (await store.status())["recorded_ahead_seconds"] == YEARS_US // 1_000_000


async def test_a_trim_by_time_says_where_it_cut_and_that_times_are_ahead(
    store: EventStore, clock: FakeClock, tmp_path: Path, start: int
) -> None:
    await store.append("a/1", some(3))
    clock.now_us += YEARS_US
    await store.append("a/1", some(1))
    clock.now_us -= YEARS_US - DAY_US
    await store.append("a/1", some(5))
    now = datetime.fromtimestamp(clock.now_us / 1e6, UTC)
    planned = await store.trim(now, archive=tmp_path / "one", dry_run=True)
    done = await store.trim(now, archive=tmp_path / "one")
    for trimmed in (planned, done):
        assert trimmed.first_position == start + 4
        assert trimmed.recorded_at == datetime.fromtimestamp(START_US / 1e6, UTC).isoformat()
        assert trimmed.ahead_seconds == (YEARS_US - DAY_US) // 1_000_000
    again = await store.trim(now + timedelta(days=365), archive=tmp_path / "two")
    assert (again.events, again.recorded_at) == (0, "")
    assert again.ahead_seconds > 0
