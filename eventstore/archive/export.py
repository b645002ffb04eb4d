"""Exporting a log: out of a backend into a file or a stream, checking the chain on the way.

All of it is synchronous, and runs in a thread of the store's own.
"""

from __future__ import annotations

import struct
from collections import Counter
from os import PathLike
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import msgspec

from eventstore.archive.continuity import Continuity
from eventstore.archive.file_format import ArchiveWriter
from eventstore.archive.progress import Moved
from eventstore.archive.targets import check_target
from eventstore.errors import CorruptEventError, HistoryGoneError
from eventstore.log import records
from eventstore.log.stored_values import event_faults
from eventstore.system.safe_files import permissions, writing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from eventstore.archive.progress import Progress
    from eventstore.log.events import Cursor
    from eventstore.log.operations import ConsumerState, Head
    from eventstore.storage.protocols import MovableLog

PAGE: Final = 1_000
"""Rows read at once; fewer where they are large."""


def export_to(
    log: MovableLog,
    file: str | PathLike[str] | IO[bytes],
    progress: Progress,
    *,
    replace: bool,
) -> Moved:
    """Export to a path, under which all or nothing appears, or to a stream."""
    if not isinstance(file, str | PathLike):
        return export_log(log, file, progress)
    path = Path(file)
    check_target(path, log.path, replace=replace)
    with writing(path, mode=permissions(log.path), replace=replace) as stream:
        return export_log(log, stream, progress)


def export_log(log: MovableLog, file: IO[bytes], progress: Progress) -> Moved:
    """Write a whole log as of now; writers may go on meanwhile."""
    head, consumers = log.outline()
    writer = ArchiveWriter(file)
    for record in export_records(log, describe(head), consumers, progress):
        writer.write(record, content_bytes(record))
    return Moved(head.position, head.position - head.first_position + 1, writer.finish())


def describe(head: Head) -> records.LogRecord:
    """Return the record of a log that ends at its head."""
    return records.LogRecord(
        records.FORMAT,
        head.log_id,
        head.first_position,
        head.position,
        head.recorded_us,
        head.hash,
        head.base_hash,
    )


def describe_prefix(log: MovableLog, head: Head, cut: Cursor) -> records.LogRecord:
    """Return the record of the log as it was at ``cut``, the end of a commit."""
    recorded_us = head.recorded_us
    for stored in log.stored(cut.position - 1, 1) if cut.position >= head.first_position else ():
        recorded_us = stored.event.recorded_us
    return msgspec.structs.replace(
        describe(head), position=cut.position, recorded_us=recorded_us, hash=cut.hash
    )


def export_records(
    log: MovableLog, what: records.LogRecord, consumers: Sequence[ConsumerState], progress: Progress
) -> Iterator[records.Record]:
    """Yield the records of a log up to the position that ``what`` says, checking the chain.

    Raises CorruptEventError where the log is not what was written, and HistoryGoneError
    where it is trimmed meanwhile.
    """
    counts: Counter[type] = Counter()
    for record in _contents(log, what, consumers, progress):
        counts[type(record)] += 1
        yield record
    _check_not_trimmed(log, what)
    yield records.EndRecord(*(counts[kind] for kind in _COUNTED))


_COUNTED: Final = (
    records.StreamRecord,
    records.KeptRecord,
    records.EventRecord,
    records.ConsumerRecord,
)


def _check_not_trimmed(log: MovableLog, what: records.LogRecord) -> None:
    first = log.head().first_position
    if first != what.first_position:
        raise HistoryGoneError(what.first_position - 1, first, "it was trimmed meanwhile; again")


def _contents(
    log: MovableLog, what: records.LogRecord, consumers: Sequence[ConsumerState], progress: Progress
) -> Iterator[records.Record]:
    yield what
    number = 0
    while page := log.streams(number, what.position, PAGE):
        number = page[-1][0]
        # A stream that began after that position is not part of it.
        yield from (record for _, record in page if record.version > 0)
    position = 0
    while kept := log.kept(position, PAGE):
        position = kept[-1].position
        yield from kept
    yield from _events(log, what, progress)
    for state in consumers:
        yield records.ConsumerRecord(
            state.name,
            state.cursor.position,
            state.cursor.hash,
            state.epoch,
            state.owner,
            state.seen_us,
        )


def _events(
    log: MovableLog, what: records.LogRecord, progress: Progress
) -> Iterator[records.EventRecord]:
    continuity = Continuity(what)
    start = position = what.first_position - 1
    while position < what.position:
        page = log.stored(position, min(PAGE, what.position - position))
        for stored in page:
            record = records.EventRecord.of(stored)
            _checked(log, what, record, continuity.check, record)
            _checked(log, what, record, _check_values, record)
            yield record
        if not page:
            break
        position = page[-1].event.position
        progress(position - start, what.position - start)
    _checked(log, what, None, continuity.finish)


def _checked(
    log: MovableLog,
    what: records.LogRecord,
    record: records.EventRecord | None,
    check: Callable[..., None],
    *args: Any,
) -> None:
    try:
        check(*args)
    except (ValueError, struct.error) as error:
        position = record.position if record is not None else 0
        _check_not_trimmed(log, what)
        raise CorruptEventError(log.url, position, f"{error}; 'eventstore verify' says more") from (
            error
        )


def _check_values(record: records.EventRecord) -> None:
    """Raise ValueError for a value that no import would take."""
    for fault in event_faults(record):
        raise ValueError(f"event {record.position}: {fault}")


def content_bytes(record: records.Record) -> int:
    """Return the size of a record's content."""
    if isinstance(record, records.EventRecord | records.KeptRecord):
        return len(record.data or b"") + len(record.metadata or b"")
    return 0
