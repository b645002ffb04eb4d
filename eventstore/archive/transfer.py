"""Moving a log as a whole: out of a backend into a file, and from a file into a backend.

All of it is synchronous and runs in a thread of the store's. ``progress`` is told events done
and all; whatever it raises ends the work and leaves nothing behind.
"""

from __future__ import annotations

import struct
from collections import Counter
from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import msgspec
from anyio import from_thread

from eventstore.archive.continuity import Continuity, check_event
from eventstore.archive.file_format import ArchiveWriter, read_archive
from eventstore.errors import (
    ArchiveError,
    CorruptEventError,
    HistoryGoneError,
    NotEmptyError,
    StorageError,
)
from eventstore.log.records import (
    FORMAT,
    ConsumerRecord,
    EndRecord,
    EventRecord,
    KeptRecord,
    LogRecord,
    Record,
    StreamRecord,
)
from eventstore.system.safe_files import permissions, writing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from eventstore.log.events import Cursor
    from eventstore.log.operations import ConsumerState, Head, StoredEvent
    from eventstore.storage.protocols import MovableLog

T = TypeVar("T")

PAGE: Final = 1_000
"""Rows read at once; fewer where they are large."""

Progress: TypeAlias = "Callable[[int, int], None]"


class Moved(msgspec.Struct, frozen=True):
    """What an export or an import did: how far the log goes, how many events it has.

    ``sha256`` is that of the whole file, in hex, as ``sha256sum`` prints it; empty for an
    import.
    """

    position: int
    events: int
    sha256: str = ""


def no_progress(done: int, total: int) -> None:
    """Tell nobody."""


def cancellable(work: Callable[[Progress], T]) -> Callable[[Progress], T]:
    """Let work in a thread end where its caller is cancelled: at its next word of progress."""

    def run(progress: Progress) -> T:
        def told(done: int, total: int) -> None:
            from_thread.check_cancelled()
            progress(done, total)

        return work(told)

    return run


def check_free(path: Path, *, replace: bool) -> None:
    """Raise NotEmptyError where there is a file already that must not be replaced."""
    if not replace and path.exists():
        raise NotEmptyError(str(path), "exists already", "name another file, or say --replace")


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
    check_free(path, replace=replace)
    with writing(path, mode=permissions(log.path)) as stream:
        return export_log(log, stream, progress)


def import_file(
    log: MovableLog, file: str | PathLike[str] | IO[bytes], progress: Progress
) -> Moved:
    """Import from a path or from a stream."""
    if not isinstance(file, str | PathLike):
        return import_log(log, file, str(getattr(file, "name", "the stream")), progress)
    try:
        with Path(file).open("rb") as stream:
            return import_log(log, stream, str(file), progress)
    except OSError as error:
        raise StorageError(str(file), str(error)) from error


def export_log(log: MovableLog, file: IO[bytes], progress: Progress) -> Moved:
    """Write a whole log as of now; writers may go on meanwhile."""
    head, consumers = log.outline()
    writer = ArchiveWriter(file)
    for record in export_records(log, describe(head), consumers, progress):
        writer.write(record, content_bytes(record))
    return Moved(head.position, head.position - head.first_position + 1, writer.finish())


def describe(head: Head) -> LogRecord:
    """Return the record of a log that ends at its head."""
    return LogRecord(
        FORMAT,
        head.log_id,
        head.first_position,
        head.position,
        head.recorded_us,
        head.hash,
        head.base_hash,
    )


def describe_prefix(log: MovableLog, head: Head, cut: Cursor) -> LogRecord:
    """Return the record of the log as it was at ``cut``, the end of a commit."""
    recorded_us = head.recorded_us
    for stored in log.stored(cut.position - 1, 1) if cut.position >= head.first_position else ():
        recorded_us = stored.event.recorded_us
    return msgspec.structs.replace(
        describe(head), position=cut.position, recorded_us=recorded_us, hash=cut.hash
    )


def export_records(
    log: MovableLog, what: LogRecord, consumers: Sequence[ConsumerState], progress: Progress
) -> Iterator[Record]:
    """Yield the records of a log up to the position that ``what`` says, checking the chain.

    Raises CorruptEventError where the log is not what was written, and HistoryGoneError
    where it is trimmed meanwhile.
    """
    counts: Counter[type] = Counter()
    for record in _contents(log, what, consumers, progress):
        counts[type(record)] += 1
        yield record
    _check_not_trimmed(log, what)
    yield EndRecord(*(counts[kind] for kind in _COUNTED))


_COUNTED: Final = (StreamRecord, KeptRecord, EventRecord, ConsumerRecord)


def _check_not_trimmed(log: MovableLog, what: LogRecord) -> None:
    first = log.head().first_position
    if first != what.first_position:
        raise HistoryGoneError(what.first_position - 1, first, "it was trimmed meanwhile; again")


def _contents(
    log: MovableLog, what: LogRecord, consumers: Sequence[ConsumerState], progress: Progress
) -> Iterator[Record]:
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
        yield ConsumerRecord(
            state.name,
            state.cursor.position,
            state.cursor.hash,
            state.epoch,
            state.owner,
            state.seen_us,
        )


def _events(log: MovableLog, what: LogRecord, progress: Progress) -> Iterator[EventRecord]:
    continuity = Continuity(what)
    start = position = what.first_position - 1
    while position < what.position:
        page = log.stored(position, min(PAGE, what.position - position))
        for stored in page:
            record = _event_record(stored)
            _checked(log, what, record, continuity.check, record)
            yield record
        if not page:
            break
        position = page[-1].event.position
        progress(position - start, what.position - start)
    _checked(log, what, None, continuity.finish)


def _checked(
    log: MovableLog,
    what: LogRecord,
    record: EventRecord | None,
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


def _event_record(stored: StoredEvent) -> EventRecord:
    event = stored.event
    return EventRecord(
        event.position,
        event.stream,
        event.version,
        event.raw_id,
        event.type,
        event.commit,
        event.content,
        event.raw_data,
        event.raw_metadata,
        event.recorded_us,
        stored.salt,
        stored.digest,
        event.hash,
    )


def content_bytes(record: Record) -> int:
    """Return the size of a record's content."""
    if isinstance(record, EventRecord | KeptRecord):
        return len(record.data or b"") + len(record.metadata or b"")
    return 0


def import_log(log: MovableLog, file: IO[bytes], where: str, progress: Progress) -> Moved:
    """Fill an empty log with an export, checking it on the way; all of it, or nothing.

    Raises ArchiveError for a file that is not exactly what was exported, and NotEmptyError
    where the log is not empty.
    """
    head = log.load(read_records(file, where, progress))
    return Moved(head.position, head.position - head.first_position + 1)


def read_records(file: IO[bytes], where: str, progress: Progress) -> Iterator[Record]:
    """Yield the records of an export but the last, checked; end once all of it is right."""
    checker: _Checker | None = None
    for offset, records in read_archive(file, where):
        for record in records:
            try:
                if checker is None:
                    checker = _Checker(record)
                else:
                    checker.check(record)
            except (ValueError, struct.error) as error:
                raise ArchiveError(where, offset, str(error)) from error
            if not isinstance(record, EndRecord):
                yield record
        if checker is not None:
            progress(checker.events, checker.expected)
    if checker is None or not checker.ended:
        raise ArchiveError(where, 0, "it holds no whole log")


class _Checker:
    """Checks the order and the continuity of an export's records; raises ValueError."""

    _ORDER: Final = (StreamRecord, KeptRecord, EventRecord, ConsumerRecord, EndRecord)

    def __init__(self, log: Record) -> None:
        if not isinstance(log, LogRecord):
            raise ValueError("it does not begin with a log")  # noqa: TRY004 - as all the rest
        if log.format != FORMAT:
            raise ValueError(
                f"its format is {log.format}, this program knows {FORMAT}: use a newer one"
            )
        self.expected = log.position - log.first_position + 1
        self.ended = False
        self._log = log
        self._counts = [0] * len(self._ORDER)
        self._rank = 0
        self._kept = 0
        self._continuity = Continuity(log)

    @property
    def events(self) -> int:
        """How many events have passed."""
        return self._counts[2]

    def check(self, record: Record) -> None:
        """Check the next record."""
        rank = -1
        with suppress(ValueError):
            rank = self._ORDER.index(type(record))
        if rank < self._rank or self.ended:
            raise ValueError(f"a {type(record).__name__} is not where it belongs")
        self._rank = rank
        self._counts[rank] += 1
        if isinstance(record, EventRecord):
            self._continuity.check(record)
        elif isinstance(record, KeptRecord):
            self._check_kept(record)
        elif isinstance(record, ConsumerRecord):
            if record.position > self._log.position:
                raise ValueError(f"consumer {record.name!r} is beyond the head")
        elif isinstance(record, EndRecord):
            self._continuity.finish()
            if list(msgspec.structs.astuple(record)) != self._counts[:-1]:
                raise ValueError("it holds other numbers of records than it says")
            self.ended = True

    def _check_kept(self, record: KeptRecord) -> None:
        if not self._kept < record.position < self._log.first_position:
            raise ValueError(f"kept event {record.position} is not where it belongs")
        self._kept = record.position
        check_event(record, record.previous)
