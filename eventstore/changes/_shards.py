"""Dividing the streams of a log among several subscriptions."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zlib import crc32

import msgspec

if TYPE_CHECKING:
    from eventstore.log.operations import Page


def shard_page(page: Page, index: int, count: int) -> Page:
    """Return what of a page belongs to one of ``count`` shards, by the CRC-32 of stream names."""
    events = [event for event in page.events if crc32(event.stream.encode()) % count == index]
    # A commit needs a cursor even if its last event belongs to another shard.
    ends = {event.position: event.hash for event in page.events if event.position == event.commit}
    return msgspec.structs.replace(page, events=events, ends={**page.ends, **ends})
