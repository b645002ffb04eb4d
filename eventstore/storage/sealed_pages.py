"""Pages with what their hash chain is computed from: a server's clients check it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from eventstore.log.operations import SealedPage, is_whole, start_of
from eventstore.storage.pages import read_page
from eventstore.storage.reading import hash_at

if TYPE_CHECKING:
    from eventstore.log.operations import Query
    from eventstore.storage.driver import Driver

_SEALS: Final = (
    "SELECT salt, digest FROM event WHERE position > ? AND position <= ? ORDER BY position"
)


def read_sealed_page(query: Query, driver: Driver) -> SealedPage:
    """Read one page, and the seals of its events where it has all of a range; in one snapshot."""
    page = read_page(driver, query)
    if not is_whole(query, page.head):
        return SealedPage(page, b"", [])
    after = start_of(query, page.head)
    before = hash_at(driver, page.head, after)
    if not page.events:
        return SealedPage(page, before, [])
    rows = driver.rows(_SEALS, (after, page.events[-1].position))
    return SealedPage(page, before, [(salt or b"", digest) for salt, digest in rows])
