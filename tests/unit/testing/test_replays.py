"""check_replays finds the projections whose rows depend on how events are delivered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import Phase, settings
from support import totals
from support.examples import examples
from support.totals import DoubledTotals, Totals

from eventstore import ConfigError, Cursor, Event, NewEvent
from projections import increment
from projections.testing import check_replays

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy import Connection

    from projections import TableProjection

NUMBERS = [(f"n/{number % 3}", NewEvent("Counted", number)) for number in range(1, 8)]


class InMemory(Totals):
    """Counts in the program's memory, which a restart loses and a failed transaction keeps."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def handle(self, connection: Connection, event: Event) -> None:
        self.seen += 1
        increment(connection, totals.counts, {"key": event.stream}, {"total": self.seen})


class ByBatch(Totals):
    """Counts batches."""

    def apply(self, connection: Connection, events: Sequence[Event], cursor: Cursor) -> None:
        super().apply(connection, events, cursor)
        increment(connection, totals.counts, {"key": "batches"}, {"total": 1})


@pytest.fixture
def at_once() -> Iterator[None]:
    """Fail with the first steps that are found: shorter ones would take long to find."""
    settings.register_profile("at once", phases=[Phase.generate])
    settings.load_profile("at once")
    yield
    settings.load_profile("tests")


def test_a_projection_that_is_a_function_of_the_log_passes() -> None:
    check_replays(Totals, NUMBERS, examples=examples(10))


class OnlyCounted(Totals):
    """Passes over what is no number."""

    def handle(self, connection: Connection, event: Event) -> None:
        if event.type == "Counted":
            super().handle(connection, event)


class ErasesNothing(OnlyCounted):
    """Leaves in its rows what a redaction has erased."""

    def erase(self, connection: Connection, position: int, stream: str) -> None:
        """Do nothing."""


def test_what_a_redaction_erases_is_gone_at_the_end() -> None:
    check_replays(OnlyCounted, NUMBERS, redacted=[2, 5], examples=examples(10))


@pytest.mark.usefixtures("at_once")
def test_rows_that_keep_what_was_erased_are_found() -> None:
    with pytest.raises(AssertionError, match="the rows are"):
        check_replays(ErasesNothing, NUMBERS, redacted=[2], examples=50)


def test_the_tables_of_an_earlier_version_are_computed_again() -> None:
    check_replays(DoubledTotals, NUMBERS, earlier=Totals, examples=examples(5))


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("make", [ByBatch, pytest.param(InMemory, marks=pytest.mark.slow)])
def test_a_projection_that_is_none_fails(make: Callable[[], TableProjection]) -> None:
    with pytest.raises(AssertionError, match="the rows are"):
        check_replays(make, NUMBERS, examples=100)


@pytest.mark.slow
@pytest.mark.usefixtures("at_once")
def test_a_version_that_was_not_raised_is_found() -> None:
    class Changed(Totals):
        def handle(self, connection: Connection, event: Event) -> None:
            increment(connection, totals.counts, {"key": "all"}, {"total": event.data})

    with pytest.raises(AssertionError, match="the rows are"):
        check_replays(Changed, NUMBERS, earlier=Totals, examples=20)


def test_no_events_show_nothing() -> None:
    with pytest.raises(ConfigError, match="no events"):
        check_replays(Totals, [])


def test_a_missing_hypothesis_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "hypothesis", None)
    with pytest.raises(ConfigError, match=r"check_replays needs the extra 'testing': pip install"):
        check_replays(Totals, NUMBERS)
