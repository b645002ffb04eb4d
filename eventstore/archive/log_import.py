"""Importing an export: from a file or a stream into an empty backend, checked on the way."""

from __future__ import annotations

import errno
import os
import shutil
import struct
from contextlib import suppress
from os import PathLike
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Final

import msgspec

from eventstore.archive.continuity import Continuity, check_event
from eventstore.archive.file_format import MAGIC, no_export, read_archive
from eventstore.archive.progress import Moved
from eventstore.errors import ArchiveError, EventStoreError, StorageError
from eventstore.log import records
from eventstore.log.hash_chain import DIGEST_BYTES
from eventstore.log.stored_values import (
    ValueFault,
    consumer_faults,
    event_faults,
    head_faults,
    stream_faults,
)
from eventstore.system.safe_files import open_regular

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedReader

    from eventstore.archive.progress import Progress
    from eventstore.storage.protocols import MovableLog


def import_file(
    log: MovableLog, file: str | PathLike[str] | IO[bytes], progress: Progress
) -> Moved:
    """Import from a path or from a stream."""
    if not isinstance(file, str | PathLike):
        return import_log(log, file, str(getattr(file, "name", "the stream")), progress)
    try:
        with open_export(file) as stream:
            return import_log(log, stream, str(file), progress)
    except OSError as error:
        raise StorageError(str(file), error.strerror or str(error)) from error


def open_export(file: str | PathLike[str]) -> BufferedReader:
    """Open an export; raise StorageError where no file can be read, ArchiveError for another.

    A pipe or a device by its name is refused, for it may never answer; one that the shell has
    opened (``/dev/fd/63``) is read.
    """
    path = Path(file)
    try:
        if path.absolute().is_relative_to("/dev/fd"):
            stream = path.open("rb")
        else:
            stream = os.fdopen(open_regular(path, follow=True), "rb")
    except FileNotFoundError as error:
        raise StorageError(str(file), f"no file at {path.absolute()}") from error
    except OSError as error:
        reason = error.strerror or str(error)
        hint = ": give it to stdin ('import - < FILE')" if error.errno == errno.EINVAL else ""
        raise StorageError(str(file), reason + hint) from error
    try:
        check_export(stream, str(file))
    except BaseException:
        stream.close()
        raise
    return stream


def check_export(stream: BufferedReader, where: str) -> None:
    """Raise ArchiveError where a stream begins as no export does; nothing of it is consumed."""
    beginning = stream.peek(len(MAGIC))[: len(MAGIC)]
    # A pipe may have given less so far; the rest is checked as it is read.
    if not beginning or not MAGIC.startswith(beginning):
        raise ArchiveError(where, 0, no_export(beginning))


def refuse_export(copy: Path) -> None:
    """Raise StorageError where an export, or the archive of a trim, is given as a backup."""
    if not copy.is_file():
        return  # The backend says what it is.
    try:
        with copy.open("rb") as file:
            beginning = file.read(len(MAGIC))
    except OSError as error:
        raise StorageError(str(copy), error.strerror or str(error)) from error
    if beginning == MAGIC:
        reason = "it is an export, no backup: 'eventstore import' puts it into a new, empty log"
        raise StorageError(str(copy), reason)


def check_whole(stream: BufferedReader, where: str, progress: Progress) -> IO[bytes]:
    """Read an export to its end; return a stream of the same at its beginning.

    A stream that cannot go back, such as a pipe, is copied into an unnamed file on the way. Raises
    ArchiveError for what is not exactly what was exported.
    """
    if stream.seekable():
        start = stream.tell()
        for _ in read_records(stream, where, progress):
            pass
        stream.seek(start)
        return stream
    copy = TemporaryFile()  # noqa: SIM115 - the caller closes it
    try:
        shutil.copyfileobj(stream, copy)
        copy.seek(0)
        for _ in read_records(copy, where, progress):
            pass
        copy.seek(0)
    except BaseException:
        copy.close()
        raise
    return copy


def import_log(log: MovableLog, file: IO[bytes], where: str, progress: Progress) -> Moved:
    """Fill an empty log with an export, checking it on the way; all of it, or nothing.

    Raises ArchiveError for a file that is not exactly what was exported, and NotEmptyError
    where the log is not empty.
    """
    try:
        head = log.load(read_records(file, where, progress))
    except EventStoreError:
        raise
    except ValueError as error:
        raise ArchiveError(where, None, str(error)) from error
    return Moved(head.position, head.position - head.first_position + 1)


def read_records(file: IO[bytes], where: str, progress: Progress) -> Iterator[records.Record]:
    """Yield the records of an export but the last, checked; end once all of it is right.

    A record with a value that no append would have stored is not yielded, nor is any after it:
    the rest is read for further ones, and ArchiveError names the first of them.
    """
    checker: _Checker | None = None
    found = _Findings()
    offset = len(MAGIC)
    for offset, batch in read_archive(file, where):
        for record in batch:
            try:
                if checker is None:
                    checker = _Checker(record)
                else:
                    checker.check(record)
            except (ValueError, struct.error) as error:
                raise found.error(where) or ArchiveError(where, offset, str(error)) from error
            found.add(offset, record)
            if not found.first and not isinstance(record, records.EndRecord):
                yield record
        if checker is not None:
            progress(checker.events, checker.expected)
    if checker is None or not checker.ended:
        raise found.error(where) or ArchiveError(where, offset, "it holds no whole log")
    if (refusal := found.error(where)) is not None:
        raise refusal


class _Findings:
    """Values in an archive that no append would have stored: the first ones, and how many."""

    def __init__(self) -> None:
        self.first: list[tuple[int, str]] = []
        self._more = 0

    def add(self, offset: int, record: records.Record) -> None:
        """Check a record's values."""
        for fault in _faults(record):
            if len(self.first) < NAMED:
                self.first.append((offset, f"{_name(record)}: {fault}"))
            else:
                self._more += 1

    def error(self, where: str) -> ArchiveError | None:
        """Return what names them, if there are any."""
        if not self.first:
            return None
        named = "; ".join(what for _, what in self.first)
        more = f"; and {self._more} more" if self._more else ""
        return ArchiveError(where, self.first[0][0], named + more)


def _faults(record: records.Record) -> list[ValueFault]:
    if isinstance(record, records.EventRecord | records.KeptRecord):
        found = event_faults(record)
        if isinstance(record, records.KeptRecord) and len(record.previous) != DIGEST_BYTES:
            found.append(ValueFault("previous", f"is not {DIGEST_BYTES} bytes"))
        return found
    if isinstance(record, records.StreamRecord):
        return stream_faults(record)
    if isinstance(record, records.ConsumerRecord):
        return consumer_faults(record)
    return head_faults(record) if isinstance(record, records.LogRecord) else []


def _name(record: records.Record) -> str:
    if isinstance(record, records.EventRecord):
        return f"event {record.position}"
    if isinstance(record, records.KeptRecord):
        return f"kept event {record.position}"
    if isinstance(record, records.StreamRecord | records.ConsumerRecord):
        return f"{type(record).__name__.removesuffix('Record').lower()} {record.name!r:.80}"
    return "the log"


NAMED: Final = 10
"""Values that no append would have stored which an error names; the rest are counted."""


class _Checker:
    """Checks the order and the continuity of an export's records; raises ValueError."""

    _ORDER: Final = (
        records.StreamRecord,
        records.KeptRecord,
        records.EventRecord,
        records.ConsumerRecord,
        records.EndRecord,
    )

    def __init__(self, log: records.Record) -> None:
        if not isinstance(log, records.LogRecord):
            raise ValueError("it does not begin with a log")  # noqa: TRY004 - as all the rest
        if log.format != records.FORMAT:
            raise ValueError(
                f"its format is {log.format}, this program knows {records.FORMAT}: use a newer one"
            )
        self.expected = log.position - log.first_position + 1
        self.ended = False
        self._log = log
        self._counts = [0] * len(self._ORDER)
        self._rank = 0
        self._kept = 0
        self._consumers: set[str] = set()
        self._continuity = Continuity(log)

    @property
    def events(self) -> int:
        """How many events have passed."""
        return self._counts[2]

    def check(self, record: records.Record) -> None:
        """Check the next record."""
        rank = -1
        with suppress(ValueError):
            rank = self._ORDER.index(type(record))
        if rank < self._rank or self.ended:
            raise ValueError(f"a {type(record).__name__} is not where it belongs")
        self._rank = rank
        self._counts[rank] += 1
        if isinstance(record, records.EventRecord):
            self._continuity.check(record)
        elif isinstance(record, records.KeptRecord):
            self._check_kept(record)
        elif isinstance(record, records.ConsumerRecord):
            self._check_consumer(record)
        elif isinstance(record, records.EndRecord):
            self._continuity.finish()
            if list(msgspec.structs.astuple(record)) != self._counts[:-1]:
                raise ValueError("it holds other numbers of records than it says")
            self.ended = True

    def _check_kept(self, record: records.KeptRecord) -> None:
        if not self._kept < record.position < self._log.first_position:
            raise ValueError(f"kept event {record.position} is not where it belongs")
        self._kept = record.position
        check_event(record, record.previous)

    def _check_consumer(self, record: records.ConsumerRecord) -> None:
        if record.position > self._log.position:
            raise ValueError(f"consumer {record.name!r:.80} is beyond the head")
        if record.name in self._consumers:
            raise ValueError(f"consumer {record.name!r:.80} is there twice")
        self._consumers.add(record.name)
