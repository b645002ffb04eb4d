"""Handlers of single event types: what they are given, and what is refused at their definition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table

from eventstore import ConfigError, EventTypes, NewEvent, ProjectionError
from projections import TableProjection, handles, increment
from projections.testing import given

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from eventstore import Event

tables = MetaData()
owed = Table("owed", tables, Column("stream", String, primary_key=True), Column("total", Integer))


class Placed(msgspec.Struct):
    total: int


class Owed(TableProjection):
    name, version, metadata = "owed", 1, tables
    event_types = EventTypes(Placed, {"Paid": type("Paid", (msgspec.Struct,), {})})

    @handles(Placed)
    def placed(self, connection: Connection, event: Event, placed: Placed) -> None:
        increment(connection, owed, {"stream": event.stream}, {"total": placed.total})

    @handles("Paid")
    def paid(self, connection: Connection, event: Event, data: Any) -> None:
        connection.execute(owed.delete().where(owed.c.stream == event.stream))


class OwedTwice(Owed):
    version = 2

    @handles(Placed)
    def placed(self, connection: Connection, event: Event, placed: Placed) -> None:
        super().placed(connection, event, placed)
        super().placed(connection, event, placed)


def placed(stream: str, total: int | str) -> tuple[str, NewEvent]:
    return stream, NewEvent("Placed", {"total": total})


@pytest.mark.parametrize(("projection", "times"), [(Owed(), 1), (OwedTwice(), 2)])
def test_each_event_goes_to_its_handler_with_a_value_of_its_class(
    projection: TableProjection, times: int
) -> None:
    orders = [placed("order/1", 2), placed("order/1", 3), placed("order/2", 4)]
    seen, paid = ("order/1", NewEvent("Seen", None)), ("order/2", NewEvent("Paid", {}))
    rows = [{"stream": "order/1", "total": 5 * times}]
    given([*orders, seen, paid]).then(projection, rows)


def test_data_that_do_not_fit_stop_the_projection_and_say_why() -> None:
    with pytest.raises(ProjectionError, match=r"the 'Placed' at position 1 of 'order/1'"):
        given([placed("order/1", "2")]).then(Owed(), [])


def handler(*events: Any) -> Any:
    @handles(*events)
    def handle_it(self: Any, connection: Any, event: Any, data: Any) -> None:
        """Do nothing."""

    return handle_it


@handles("Placed")
async def later(self: Any, connection: Any, event: Any, data: Any) -> None:
    """Do nothing, later."""


@handles("Placed")
def two_arguments(self: Any, connection: Any, event: Any) -> None:
    """Do nothing."""


def defined(**attributes: Any) -> type:
    """Define a projection with other attributes; those that are ``None`` are left out."""
    given = {"name": "v", "version": 1, "metadata": tables, "on": handler("Placed"), **attributes}
    return type("V", (TableProjection,), {k: v for k, v in given.items() if v is not None})


REFUSED: dict[str, Callable[[], type]] = {
    "V.on is async def: make it a plain 'def'": lambda: defined(on=later),
    "V.on cannot be called as a handler": lambda: defined(on=two_arguments),
    r"V.on handles 'Payed', which is not among the declared events \('Paid', 'Placed'\)": lambda: (
        defined(on=handler("Payed"), event_types={"Paid", "Placed"})
    ),
    r"not among the declared events \('Placed'\)": lambda: defined(
        on=handler("Paid"), event_types=EventTypes(Placed)
    ),
    "Placed is not among the declared classes of events": lambda: defined(on=handler(Placed)),
    "both handle 'Placed'": lambda: defined(second=handler("Placed")),
    "has event_types = 'Placed'": lambda: defined(event_types="Placed"),
    "has no version: set version = 1": lambda: defined(version=None),
    "has no name": lambda: defined(name=None),
    "has version 'one'": lambda: defined(version="one"),
    "takes the types of events": lambda: defined(on=handler()),
    "takes the types of": lambda: defined(on=handler(7)),
}


@pytest.mark.parametrize("message", REFUSED)
def test_a_class_that_cannot_work_is_refused_where_it_is_defined(message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        REFUSED[message]()
    assert defined().__name__ == "V"
