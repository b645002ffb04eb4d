"""Which registrations a list or a count asks for, and in which order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from eventstore.errors import InvalidInputError
from projections.registry.model import SORT_KEYS
from projections.seams.checks import check_object, check_whole_number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from projections.registry.model import SortKey


class Listing(NamedTuple):
    """Filters, order and page of a list; no ``statuses`` means all of them."""

    statuses: Sequence[str] = ()
    sort: SortKey = "created_at"
    descending: bool = False
    limit: int | None = None
    offset: int = 0
    metadata: Mapping[str, Any] | None = None

    def checked(self) -> Listing:
        """Return it; raise InvalidInputError for a sort, page or filter that means nothing."""
        if self.sort not in SORT_KEYS:
            raise InvalidInputError("sort", f"{self.sort!r:.80} is none of {', '.join(SORT_KEYS)}")
        for what, number in (("limit", self.limit), ("offset", self.offset)):
            if number is not None:
                check_whole_number(what, number)
        if self.metadata is not None:
            try:
                msgspec.json.encode(check_object("metadata", self.metadata))
            except (TypeError, ValueError) as error:
                raise InvalidInputError("metadata", f"cannot be looked for: {error}") from error
        return self
