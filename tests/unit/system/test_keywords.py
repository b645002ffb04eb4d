"""A method that hands keywords on shows them as if they were its own."""

from __future__ import annotations

import inspect
from typing import TypedDict, Unpack

import pytest

from eventstore import EventStore
from eventstore.store.options import FollowOptions, OpenOptions
from eventstore.system.keywords import shows


class Wanted(TypedDict, total=False):
    color: str
    most: int


def find(place: str, *, most: int = 3, color: object = "red") -> tuple[str, object, int]:
    return place, color, most


@shows(Wanted, find)
def search(place: str, *, newest: bool = False, **wanted: Unpack[Wanted]) -> str:
    """Find things."""
    return f"{newest} {find(place, **wanted)}"


def test_names_types_and_defaults_are_shown_and_the_call_is_as_before() -> None:
    assert str(inspect.signature(search)) == (
        "(place: 'str', *, newest: 'bool' = False, color: 'str' = 'red', most: 'int' = 3) -> 'str'"
    )
    assert search("here", most=1) == "False ('here', 'red', 1)"


def test_a_keyword_that_the_function_does_not_have_is_an_error_where_it_is_written() -> None:
    class Unknown(TypedDict, total=False):
        size: int

    with pytest.raises(KeyError, match="size"):
        shows(Unknown, find)


@pytest.mark.parametrize(
    ("keywords", "method"),
    [(OpenOptions, EventStore.open), (FollowOptions, EventStore.subscribe_changes)],
)
def test_every_keyword_of_a_store_is_there_for_threads_too(keywords: type, method: object) -> None:
    parameters = inspect.signature(method).parameters.values()  # type: ignore[arg-type]
    own = {one.name for one in parameters if one.kind is one.KEYWORD_ONLY}
    assert keywords.__annotations__.keys() == own
