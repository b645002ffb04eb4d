"""Typed events: classes for the data of event types."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from eventstore import ConfigError, EventDataError, EventTypes, InvalidInputError, NewEvent
from eventstore.sync import EventStore


class Placed(msgspec.Struct):
    total: int
    at: datetime
    tags: tuple[str, ...] = ()


@dataclass
class Paid:
    by: str
    parts: dict[int, float] = field(default_factory=dict)


NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
TYPES = EventTypes(Placed, {"order.paid": Paid})


def stored(*events: NewEvent) -> list[Any]:
    with EventStore.open("memory://", notify="none") as store:
        store.append("order/1", events)
        return list(store.read())


@pytest.mark.parametrize(
    ("value", "name"),
    [(Placed(1, NOON, ("a", "b")), "Placed"), (Paid("card", {1: 0.5}), "order.paid")],
    ids=["struct", "dataclass"],
)
def test_a_value_comes_back_as_it_was(value: object, name: str) -> None:
    new = TYPES.new(value, id="one", metadata={"by": "ana"})
    assert (new.type, new.id) == (name, "one")
    (event,) = stored(new)
    assert TYPES.decode(event) == value
    assert event.metadata == {"by": "ana"}


def test_a_model_of_pydantic_comes_back_as_it_was() -> None:
    pydantic = pytest.importorskip("pydantic")
    model = pydantic.create_model("Shipped", at=(datetime, ...), weight=(int, ...))
    types = EventTypes(model)
    value = model(at=NOON, weight=3)
    good, bad = stored(types.new(value), NewEvent("Shipped", {"at": "secret", "weight": 1}))
    assert types.decode(good) == value
    with pytest.raises(EventDataError, match="at: Input should be a valid datetime") as caught:
        types.decode(bad)
    assert "secret" not in str(caught.value)


def test_data_that_do_not_fit_are_an_error_that_says_where() -> None:
    _, event = stored(TYPES.new(Paid("card")), NewEvent("Placed", {"total": "secret"}))
    with pytest.raises(EventDataError) as caught:
        TYPES.decode(event)
    error = caught.value
    assert (error.type, error.stream, error.position) == ("Placed", "order/1", 2)
    assert "Expected `int`, got `str` - at `$.total`" in error.reason
    assert "secret" not in str(error)


def test_an_event_without_a_class_keeps_its_data() -> None:
    (event,) = stored(NewEvent("Other", {"a": 1}))
    assert TYPES.decode(event) == {"a": 1}


def test_what_json_cannot_hold_is_refused() -> None:
    with pytest.raises(InvalidInputError):
        TYPES.new(Paid("card", {1: float("nan")}))


@pytest.mark.parametrize("given", [int, "Placed", {"Placed": dict}, None, Placed(1, NOON)])
def test_only_classes_with_fields_are_taken(given: Any) -> None:
    with pytest.raises(ConfigError, match="is no class of events"):
        EventTypes(given)


def test_a_type_has_one_class_and_a_class_one_type() -> None:
    with pytest.raises(ConfigError, match="given twice"):
        EventTypes(Placed, {"Placed": Paid})
    with pytest.raises(ConfigError, match="given twice"):
        EventTypes(Placed, {"order.placed": Placed})


def test_a_class_that_was_not_declared_is_named() -> None:
    with pytest.raises(ConfigError, match=r"Paid is not among the declared .*\(Placed\)"):
        EventTypes(Placed).new(Paid("card"))
