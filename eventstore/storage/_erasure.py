"""Erasing the content of one event, in the transaction of the event that says so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from eventstore.errors import EventStoreError, InvalidInputError
from eventstore.log.event_ids import pack_id
from eventstore.log.events import Appended, Cursor, StreamWrite
from eventstore.log.operations import Append
from eventstore.log.redaction import LOG, REDACTIONS, Redaction, redaction_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventstore.log.append_plan import Plan
    from eventstore.log.operations import Head, Redact
    from eventstore.storage.driver import Driver

# The table is one of two constants: an event is in the log, or kept of a trimmed prefix.
_TARGET: Final = (
    "SELECT s.name, e.version, e.type, e.content FROM {} e JOIN stream s ON s.id = e.stream_id "
    "WHERE e.position = ?"
)
_ERASE: Final = "UPDATE {} SET data = NULL, metadata = NULL, salt = NULL WHERE position = ?"
_KEPT_REDACTION: Final = (
    "SELECT e.position, e.version, e.hash, e.recorded_us FROM kept e "
    "JOIN stream s ON s.id = e.stream_id WHERE e.id = ? AND s.name = ?"
)


@dataclass(frozen=True, slots=True)
class Erasure:
    """A redaction that may go ahead: the table of the row, and the event to append."""

    position: int
    table: str
    raw_id: bytes
    append: Append
    spare: Append
    """The same with another id, should a caller have used that one for an event of its own."""
    earlier: Appended | None
    """The result of an earlier call whose event was trimmed since."""


def prepare(driver: Driver, head: Head, operation: Redact) -> Erasure | EventStoreError:
    """Find the event to erase; an operation that is refused is an error value."""
    position = operation.position
    table = "kept" if position < head.first_position else "event"
    row = driver.row(_TARGET.format(table), (position,))
    where = f"position={position}"
    if row is None:
        gone = " any more" if position < head.first_position else ""
        return InvalidInputError(where, f"no event is there{gone}")
    stream, version, type_, content = row
    if stream.startswith(LOG):
        reason = f"is an event of {stream!r}: what the log says about itself stays"
        return InvalidInputError(where, reason)
    redaction = Redaction(position, stream, version, type_, operation.reason, operation.by)
    raw_id = pack_id(redaction_id(position))
    append, spare = (
        Append([StreamWrite(REDACTIONS, [event])], 1, len(event.raw_data))
        for event in (redaction.event(content, redaction_id(position)), redaction.event(content))
    )
    earlier = _trimmed_redaction(driver, head, raw_id)
    return Erasure(position, table, raw_id, append, spare, earlier)


def _trimmed_redaction(driver: Driver, head: Head, raw_id: bytes) -> Appended | None:
    if head.first_position == 1:
        return None
    row = driver.row(_KEPT_REDACTION, (raw_id, REDACTIONS))
    if row is None:
        return None
    position, version, digest, recorded_us = row
    cursor = Cursor(head.log_id, position, digest)
    return Appended(position, {REDACTIONS: version}, cursor, True, version, recorded_us)


def erase(driver: Driver, plan: Plan, erasure: Erasure) -> Callable[[], Appended]:
    """Erase the row, append the event unless it is there already; return what gives its result.

    The row is erased in any case: an event with this id proves nothing about it.
    """
    driver.run(_ERASE.format(erasure.table), (erasure.position,))
    if (earlier := erasure.earlier) is not None:
        return lambda: earlier
    known = plan.stream_of(erasure.raw_id)
    if known is None:
        return plan.add(erasure.append)
    return plan.result_of(erasure.raw_id) if known == REDACTIONS else plan.add(erasure.spare)
