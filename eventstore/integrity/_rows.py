"""Checking one row of the log by itself. Any of its values may be of any type."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from eventstore.log import hash_chain as chain
from eventstore.log.events import BYTES_CONTENT, JSON_CONTENT

if TYPE_CHECKING:
    from eventstore.log.events import Event
    from eventstore.log.operations import Head, StoredEvent
    from eventstore.log.redaction import Redaction


class Erased(NamedTuple):
    """An event without content, as far as its row still tells."""

    stream: str
    version: int
    type: str
    content: int

    @classmethod
    def of(cls, event: Event) -> Erased:
        """Return what a row without content tells about its event."""
        return cls(event.stream, event.version, event.type, event.content)

    @classmethod
    def named_by(cls, event: Event, redaction: Redaction, content: int) -> Erased:
        """Return what a redaction says of the event that it erased.

        ``content`` is its kind where the redaction, of an early version, does not say.
        """
        content = event.metadata.get("content", content)
        return cls(redaction.stream, redaction.version, redaction.type, content)


def known_links(digest: object) -> tuple[bytes, ...]:
    """Return what the next row may be linked to: a stored hash, if it is one."""
    return (digest,) if isinstance(digest, bytes) else ()


def genesis_of(head: Head) -> bytes:
    """Return the hash before the first event of the log."""
    return chain.genesis(str(head.log_id))


def link_of(previous: bytes, row: StoredEvent) -> bytes:
    """Return the hash that a row has to have after ``previous``."""
    event = row.event
    return chain.link_after(previous, event, event.raw_id, row.digest)


def wrong_content(row: StoredEvent) -> str | None:
    """Say what is wrong with the content of a row, or with its stream; ``None`` for nothing."""
    event = row.event
    if not event.stream:
        return "names a stream that is not there"
    fault = chain.content_fault(
        row.salt, event.content, event.raw_data, event.raw_metadata, row.digest
    )
    kinds = JSON_CONTENT, BYTES_CONTENT
    if fault is None and event.raw_data is None and event.content not in kinds:
        return "has content of no known kind"
    return fault
