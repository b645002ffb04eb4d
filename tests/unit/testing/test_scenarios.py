"""``given(events).then(projection, rows)``: what it takes, and when it fails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table
from support.totals import Totals

from eventstore import ConfigError, NewEvent, ProjectionError, StreamWrite
from projections import Fold, TableProjection, handles, upsert
from projections.testing import History, given

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from eventstore import Event

tables = MetaData()
one = Table("one", tables, Column("key", String, primary_key=True), Column("at", Integer))
two = Table("two", tables, Column("key", String, primary_key=True))


class Both(TableProjection):
    name, version, metadata = "both", 1, tables

    @handles("Seen")
    def seen(self, connection: Connection, event: Event, data: Any) -> None:
        at = int(event.recorded_at.timestamp())
        upsert(connection, one, {"key": event.stream}, {"at": at})
        upsert(connection, two, {"key": data}, {})


class Sums(Fold[dict[str, int]]):
    name, version = "sums", 1

    def initial(self) -> dict[str, int]:
        return {}

    @handles("Counted")
    def counted(self, state: dict[str, int], event: Event, data: int) -> dict[str, int]:
        return state | {event.stream: state.get(event.stream, 0) + data}


COUNTED: History = [
    ("n/1", NewEvent("Counted", 1)),
    ("n/2", [NewEvent("Counted", 2), NewEvent("Counted", 3)]),
    StreamWrite("n/1", [NewEvent("Counted", 4)]),
]


def test_the_rows_of_one_table_are_compared_in_any_order() -> None:
    given(COUNTED).then(Totals(), [{"key": "n/2", "total": 5}, {"key": "n/1", "total": 5}])
    given([]).then(Totals(), [])


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [{"key": "n/1", "total": 5}],
        [{"key": "n/1", "total": 5}, {"key": "n/2", "total": 6}],
        [{"key": "n/1", "total": 5}, {"key": "n/2", "total": 5}, {"key": "n/2", "total": 5}],
        [{"key": "n/1"}, {"key": "n/2"}],
    ],
)
def test_other_rows_fail_and_are_shown(rows: list[dict[str, Any]]) -> None:
    with pytest.raises(AssertionError, match=r"'counts' has \[\{'key': 'n/1', 'total': 5\}, "):
        given(COUNTED).then(Totals(), rows)


def test_the_state_of_a_fold_is_compared() -> None:
    given(COUNTED).then(Sums(), {"n/1": 5, "n/2": 5})
    given([]).then(Sums(), {})
    with pytest.raises(AssertionError, match=r"fold 'sums' is \{'n/1': 5, 'n/2': 5\}, not \{\}"):
        given(COUNTED).then(Sums(), {})


def test_the_rows_of_several_tables_are_given_by_name() -> None:
    history = given([("a/1", NewEvent("Seen", "x"))], clock=lambda: 3_000_000)
    history.then(Both(), {"one": [{"key": "a/1", "at": 3}], "two": [{"key": "x"}]})
    with pytest.raises(AssertionError, match="table 'two'"):
        history.then(Both(), {"one": [{"key": "a/1", "at": 3}]})
    with pytest.raises(ConfigError, match="give the rows of each by its name, of one, two"):
        history.then(Both(), [])
    with pytest.raises(ConfigError, match="has no table 'three'"):
        history.then(Both(), {"three": []})


def test_a_handler_that_fails_is_what_it_is_in_a_store() -> None:
    with pytest.raises(ProjectionError, match="cannot count this"):
        given([("n/1", NewEvent("Bad", 1))]).then(Totals(), [])
