"""Checking what a server answers: that a page is what was asked for, and what the log holds.

A page that has every event of its range is checked against the log's hash chain, content included:
from the cursor that was asked for, from the log's genesis, or from what the server says of the
place in between. Of a page that filters, that nothing which matches was left out is the server's
word.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from eventstore.errors import HistoryDivergedError, WrongPageError
from eventstore.log.hash_chain import content_fault, genesis, link_after
from eventstore.log.operations import is_whole, start_of

if TYPE_CHECKING:
    from eventstore.log.events import Event
    from eventstore.log.operations import Head, Page, Query, Seal, SealedPage


def check_page(where: str, query: Query, sealed: SealedPage, known: Head | None) -> None:
    """Raise WrongPageError for a page that is not what the log holds, as far as that can be told.

    ``known`` is what the server had told of the head before the page was asked for.
    """
    page = sealed.page
    _check_log(where, query, page, known)
    positions = [event.position for event in page.events]
    if sorted(set(positions), reverse=query.backwards) != positions:
        raise WrongPageError(where, page.events[0].position, "events are repeated or out of order")
    for event in page.events:
        if not query.matches(event):
            raise WrongPageError(where, event.position, "is an event that was not asked for")
    if is_whole(query, page.head):
        _check_whole(where, query, sealed)
    elif not (query.filtered or query.backwards or query.kept):
        raise WrongPageError(where, query.after, "events are left out that no trim has removed")


def _check_log(where: str, query: Query, page: Page, known: Head | None) -> None:
    """Check that a page is of the log that is read, and not older than what was told before."""
    through, head, expect = page.through, page.head, query.expect
    if through.log_id != head.log_id or through.position > head.position:
        raise WrongPageError(where, through.position, "the page ends where the log does not reach")
    if expect is not None and expect.log_id != head.log_id:
        raise WrongPageError(where, through.position, "the page is one of another log")
    if known is None:
        return
    if known.log_id != head.log_id:
        reason = f"the store was opened on log {known.log_id}, this is {head.log_id}"
        raise HistoryDivergedError(query.after, head.position, reason)
    if head.position < known.position:
        reason = f"the log ended at position {known.position} before"
        raise HistoryDivergedError(known.position, head.position, reason)


def _check_whole(where: str, query: Query, sealed: SealedPage) -> None:
    """Check that nothing is missing between two cursors, and each event against the chain."""
    page = sealed.page
    after, through = start_of(query, page.head), page.through
    if len(sealed.seals) != len(page.events):
        raise WrongPageError(where, after, "the page comes without its seals")
    previous = _hash_before(where, query, sealed, after)
    position, ending = after, sealed.before
    for event, seal in zip(page.events, sealed.seals, strict=True):
        position += 1
        if event.position != position:
            raise WrongPageError(where, position, f"is the event of position {event.position}")
        previous = ending = _check_event(where, previous, event, seal)
    if (through.position, through.hash) != (position, ending):
        raise WrongPageError(where, through.position, "the page ends elsewhere than its events")
    if position == page.head.position and page.head.hash != ending:
        raise WrongPageError(where, position, "the log's head has another hash")


def _hash_before(where: str, query: Query, sealed: SealedPage, after: int) -> bytes:
    """Return the hash that the first event follows: a known one, else the server's word."""
    expect, before = query.expect, sealed.before
    if after == 0:
        # A cursor before the first event has the genesis, or no hash.
        known = genesis(sealed.page.head.log_id)
        right = before in {known, b""}
    else:
        known = expect.hash if expect is not None and expect.position == after else before
        right = known == before
    if not right:
        raise WrongPageError(where, after, "the page follows another hash than the log has there")
    return known


def _check_event(where: str, previous: bytes, event: Event, seal: Seal) -> bytes:
    """Return the hash of an event that follows another one, and whose content is as written."""
    salt, digest = seal
    data, metadata = event.raw_data, event.raw_metadata
    try:
        fault = content_fault(salt or None, event.content, data, metadata, digest)
        linked = link_after(previous, event, event.raw_id, digest)
    except (struct.error, OverflowError) as error:
        raise WrongPageError(where, event.position, f"is no event: {error}") from error
    if fault is None and linked != event.hash:
        fault = "the event does not continue the hash chain"
    if fault is not None:
        raise WrongPageError(where, event.position, fault)
    return linked
