"""``top`` draws what ``status`` tells, and nothing of a log steers the terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from support.screens import drawn, look, screen_of, shown
from support.waiting import until

from eventstore import EventStore, NewEvent, StorageError
from eventstore.cli.status_report import StatusReport, read_report
from eventstore.cli.top_panels import WELL, Rates
from eventstore.cli.top_screen import TopScreen
from eventstore.log.operations import OpenConsumer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.commands import Run

pytestmark = pytest.mark.anyio

HOSTILE = "[bold red]x[/] [@click=app.quit]y[/] $z"


@pytest.fixture
def anyio_backend() -> str:
    """Textual runs on asyncio alone."""
    return "asyncio"


@pytest.fixture
async def store(url: str) -> AsyncIterator[EventStore]:
    async with EventStore.open(url, notify="none") as store:
        yield store


async def test_a_log_that_is_well_is_said_to_be(store: EventStore) -> None:
    await store.append("order/1", [NewEvent("Placed", number) for number in range(3)])
    async with store.subscribe_changes(consumer="billing", follow=False) as changes:
        assert len([event async for event in changes]) == 3
    async with shown(screen_of(store)) as pilot:
        screen = drawn(pilot.app)
    assert WELL in screen
    assert store.url in screen
    assert "position 3" in " ".join(screen.split())
    assert "consumer billing: position 3, up to date" in screen


async def test_what_is_not_well_comes_first_and_hostile_names_are_only_text(
    store: EventStore,
) -> None:
    await store.append("order/1", [NewEvent("Placed", 1)])
    async with store.subscribe_changes(consumer=HOSTILE) as changes:
        await changes.reject(await anext(changes), f"\x1b]0;title\x07\x1b[2J{HOSTILE}\u202e")
    start = (await store.head()).cursor
    gone = f"{store.owner.rpartition(':')[0]}:{2**22 + 1}"
    await store.feed.log.write(OpenConsumer("lost", gone, start))
    async with shown(screen_of(store)) as pilot:
        screen = drawn(pilot.app)
        assert pilot.app.is_running
    first, *_ = [line.strip() for line in screen.splitlines() if "not well" in line]
    assert first == "One thing is not well"
    assert f"consumer 'lost': its process {gone} is gone" in screen
    assert screen.index("not well") < screen.index("consumer lost")
    assert f"consumer {HOSTILE}: position" in screen
    assert r"\x1b]0;title\x07\x1b[2J" in screen
    assert all(one.isprintable() for one in screen.replace("\n", ""))


async def test_appends_are_shown_as_a_rate_and_a_key_looks_at_once(store: EventStore) -> None:
    times = iter([10.0, 12.0])
    screen = screen_of(store, Rates(lambda: next(times)))
    async with shown(screen) as pilot:
        assert "events/s" not in drawn(screen)
        await store.append("order/1", [NewEvent("Placed", number) for number in range(5)])
        assert "2.5 events/s" in await look(screen, pilot)
        await pilot.press("q")
    assert screen.return_code == 0


def test_of_a_log_that_was_replaced_by_an_older_one_there_is_no_rate() -> None:
    times = iter([1.0, 2.0, 3.0])
    rates = Rates(lambda: next(times))
    for position in (9, 4, 5):
        rates.add(position)
    assert list(rates.seen) == [0.0, 1.0]


async def test_a_log_that_cannot_be_read_is_tried_again(store: EventStore) -> None:
    away = True

    async def read() -> StatusReport:
        if away:
            raise StorageError("[b]db[/b]", "cannot be reached\x1b[2J", transient=True)
        return await read_report(store, within=30.0, limit=100, among=1_000)

    screen = TopScreen("a log", read, 3_600.0)
    async with shown(screen) as pilot:
        assert "cannot be read" in drawn(screen)
        assert r"[b]db[/b]: cannot be reached\x1b[2J" in drawn(screen)
        away = False
        assert WELL in await look(screen, pilot)


async def test_a_fault_of_the_program_ends_the_screen_and_is_kept() -> None:
    async def read() -> StatusReport:
        raise ZeroDivisionError

    screen = TopScreen("a log", read, 3_600.0)
    async with screen.run_test():
        await until(lambda: screen.failure)
    assert isinstance(screen.failure, ZeroDivisionError)


def test_the_command_says_what_it_needs(
    run: Run, empty_log: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = run("top")
    assert done.returncode == 2
    assert "top draws on a terminal: elsewhere use 'eventstore status'" in done.stderr
    monkeypatch.setitem(sys.modules, "eventstore.cli.top_screen", None)
    done = run("top")
    assert done.returncode == 1
    line = "'eventstore top' needs the extra 'top': pip install 'ruletide[top]'"
    assert line in done.stderr
    assert done.stderr.count("\n") == 1
