"""The service's tests: decisions, views, the whole service, and what its webhook hears."""

from __future__ import annotations

from typing import Any

import pytest
from flags import CATEGORY, EVENTS, FlagRetired, FlagSet, RefusedError, State, is_on, retire, set_to
from service import FlagService
from views import Audit, Flags

from eventstore import Event, EventStore
from eventstore.outbox import Outbox
from projections.testing import check_replays, given

HISTORY = [
    ("flag/dark", EVENTS.new(FlagSet(25, "ana", "First users"))),
    ("flag/beta", EVENTS.new(FlagSet(100, "ben", "done"))),
    ("flag/dark", EVENTS.new(FlagSet(50, "ana", "half"))),
    ("flag/beta", EVENTS.new(FlagRetired("ben", "in the product now"))),
]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def event_store_options() -> dict[str, Any]:
    return {"inline": [Flags(), Audit()]}


def test_a_change_is_decided_by_the_state_alone() -> None:
    change = FlagSet(25, "ana", "")
    assert set_to(State(0), change) == [change]
    assert set_to(State(25), change) == []
    assert retire(State(0, retired=True), FlagRetired("ana", "")) == []
    with pytest.raises(RefusedError, match="retired"):
        set_to(State(0, retired=True), change)
    with pytest.raises(RefusedError, match="101"):
        set_to(State(0), FlagSet(101, "ana", ""))


def test_the_table_has_the_flags_as_they_are() -> None:
    given(HISTORY).then(
        Flags(),
        [
            {"name": "beta", "percent": 0, "retired": True},
            {"name": "dark", "percent": 50, "retired": False},
        ],
    )


@pytest.mark.parametrize("view", [Flags, Audit])
def test_views_depend_on_the_log_alone(view: type[Flags | Audit]) -> None:
    check_replays(view, HISTORY)


def test_a_user_who_has_a_flag_keeps_it_while_the_percentage_rises() -> None:
    users = [f"user-{number}" for number in range(500)]
    before: set[str] = set()
    for percent in (0, 1, 25, 99, 100):
        now = {user for user in users if is_on("dark", percent, user)}
        assert before <= now
        assert abs(len(now) - 5 * percent) < 50
        before = now


@pytest.mark.anyio
async def test_changes_are_in_force_at_once_and_can_be_searched(event_store: EventStore) -> None:
    service = FlagService(event_store)
    assert await service.set("dark", 100, by="ana", why="100% of the First users")
    assert not await service.set("dark", 100, by="ben", why="again")
    assert await service.is_on("dark", "anyone")
    assert not await service.is_on("unknown", "anyone")
    assert await service.retire("dark", by="ben", why="in the product now")
    assert [flag["retired"] for flag in await service.all()] == [True]
    assert [row["what"] for row in await service.search("ana", "first")] == ["set to 100 %"]
    assert len(await service.search("0% of")) == 1
    assert await service.search("unheard") == []
    assert len(await service.search()) == 2


@pytest.mark.anyio
async def test_a_webhook_hears_of_each_change_also_after_it_was_away(
    event_store: EventStore,
) -> None:
    service, heard, away = FlagService(event_store), list[str](), True

    async def hook(event: Event) -> None:
        if away:
            raise ConnectionError("away")
        heard.append(f"{event.stream} {event.type}")

    options: dict[str, Any] = {"streams": f"{CATEGORY}/", "attempts": 2, "first_pause": 0.0}
    outbox = Outbox(event_store, "hook", hook, **options)
    await service.set("dark", 5, by="ana", why="")
    await outbox.run(follow=False)
    assert [letter.stream for letter in await outbox.dead_letters()] == ["flag/dark"]
    away = False
    await service.retire("dark", by="ana", why="")
    await outbox.retry()
    await outbox.run(follow=False)
    assert sorted(heard) == ["flag/dark FlagRetired", "flag/dark FlagSet"]
    assert await outbox.dead_letters() == []
