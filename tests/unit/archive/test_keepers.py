"""One trim asks every package's keeper, each at its own pace."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, cast

import pytest

from eventstore.archive.keepers import CHUNK, keep_for_all

if TYPE_CHECKING:
    from collections.abc import Iterable

    from eventstore import Event

COUNT = CHUNK * 7 + 3


def events() -> Iterable[Event]:
    """Give what keepers are handed; they only pass it on, so numbers will do."""
    return cast("Iterable[Event]", iter(range(COUNT)))


def numbers(given: Iterable[Event]) -> Iterable[int]:
    return cast("Iterable[int]", given)


def odd(given: Iterable[Event]) -> Iterable[int]:
    return [number for number in numbers(given) if number % 2]


def last(given: Iterable[Event]) -> Iterable[int]:
    return [max(numbers(given))]


def first(given: Iterable[Event]) -> Iterable[int]:
    return list(islice(numbers(given), 1))


def failing(given: Iterable[Event]) -> Iterable[int]:
    next(iter(given))
    raise LookupError("no such thing")


def test_without_keepers_nothing_is_kept_and_all_is_read() -> None:
    given = events()
    assert set(keep_for_all([])(given)) == set()
    assert list(given) == []


def test_what_any_keeper_wants_is_kept_though_one_stops_reading() -> None:
    kept = set(keep_for_all([odd, first, last])(events()))
    assert kept == {0, *range(1, COUNT, 2), COUNT - 1}


def test_the_error_of_a_keeper_is_raised() -> None:
    with pytest.raises(LookupError, match="no such thing"):
        keep_for_all([odd, failing])(events())


def test_an_error_of_the_events_ends_every_keeper() -> None:
    def broken() -> Iterable[Event]:
        yield from events()
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        keep_for_all([odd, last])(broken())
