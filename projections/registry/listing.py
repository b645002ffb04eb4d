"""Which registrations a list or a count asks for, and in which order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypedDict

from eventstore.log.events import NewEvent
from projections.registry.model import check_status
from projections.registry.sorting import read_sort
from projections.seams.checks import check_whole_number, copy_object

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from projections.registry.sorting import SortEntry

BATCH_SIZE: Final = 500
MAX_BATCH_SIZE: Final = 1_000
"""Registrations that a stream holds at once, by default and at the most."""


class Listing(NamedTuple):
    """Checked filters, order and page of a list; see :func:`listing_of`.

    No ``statuses`` means all of them. ``descending`` turns the order of first registration round,
    where ``sort`` says no other.
    """

    statuses: Sequence[str] = ()
    metadata: Mapping[str, Any] = {}
    sort: tuple[SortEntry, ...] = ()
    descending: bool = False
    limit: int | None = None
    offset: int = 0


class ListFilter(TypedDict, total=False):
    """What every registry takes: filter, order and page; :func:`listing_of` has the defaults."""

    filter_metadata: Mapping[str, Any] | None
    sort: Any
    limit: int | None
    offset: int | None


class ListOptions(ListFilter, total=False):
    """What :class:`~projections.registry.Registry` takes besides."""

    descending: bool
    metadata: Mapping[str, Any] | None


def listing_of(
    status: object,
    *,
    filter_metadata: object = None,
    sort: Any = None,
    limit: int | None = None,
    offset: int | None = None,
    descending: bool = False,
    metadata: object = None,
) -> Listing:
    """Return a listing; raise InvalidInputError for arguments that mean nothing."""
    for what, number in (("limit", limit), ("offset", offset)):
        if number is not None:
            check_whole_number(what, number)
    entries = read_sort(sort)
    if descending:
        entries = tuple(one._replace(descending=not one.descending) for one in entries)
    return Listing(
        () if status is None else (check_status(status),),
        _read_filter("metadata", metadata) | _read_filter("filter_metadata", filter_metadata),
        entries,
        bool(descending),
        limit,
        offset or 0,
    )


def read_batch_size(config: Any) -> int:
    """Return how many registrations a stream reads at once; ``config`` has a ``batch_size``."""
    size = getattr(config, "batch_size", None)
    if size is None:
        return BATCH_SIZE
    return min(check_whole_number("batch_size", size, least=1), MAX_BATCH_SIZE)


def _read_filter(what: str, given: object) -> dict[str, Any]:
    if given is None:
        return {}
    found = copy_object(what, given)
    NewEvent(what, found)  # Raises for what no event can hold, and so no registration.
    return found
