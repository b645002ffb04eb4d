"""Trimming: the beginning of the log goes into an archive, and is cut off.

Decided here, before anything is changed: where to cut, what the archive holds, which events are
kept because projections need them. The writer then trims in one transaction.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

import msgspec

from eventstore.archive.export import content_bytes, describe_prefix, export_records
from eventstore.archive.file_format import ArchiveWriter
from eventstore.archive.keepers import Keep, Needs, keep_for_all, read_needs
from eventstore.archive.targets import check_target
from eventstore.errors import InvalidInputError, ViewNotKeptError
from eventstore.log.clock import from_microseconds, time_ahead, to_microseconds
from eventstore.log.events import Event, NewEvent, StreamWrite
from eventstore.log.operations import TRIMS, Append, Query, Trim
from eventstore.log.records import EventRecord, KeptRecord
from eventstore.log.tags import TAGS
from eventstore.log.trim_notices import VIEWS
from eventstore.log.validation import OWN_STREAMS
from eventstore.system.safe_files import permissions, writing

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from os import PathLike

    from eventstore.archive.progress import Progress
    from eventstore.log.events import Cursor
    from eventstore.log.operations import Head
    from eventstore.storage.protocols import MovableLog

HISTORY_TRIMMED: Final = "HistoryTrimmed"

OWN_CATEGORIES: Final = ("log/", TAGS)
"""What the log says about itself is always kept: earlier trims above all, and tags."""


class Trimmed(msgspec.Struct, frozen=True):
    """What a trim did. ``events`` were deleted; of them and earlier ones ``kept`` stay.

    ``archive`` is the file that holds what was taken away, ``sha256`` its checksum in hex;
    both are empty where there was nothing to trim.
    """

    first_position: int
    events: int = 0
    kept: int = 0
    archive: str = ""
    sha256: str = ""
    recorded_at: str = ""
    """When the last event that went was recorded, as ISO 8601; empty where none did."""
    ahead_seconds: int = 0
    """How far the last recorded time of the log is ahead of the clock: a trim by time leaves
    what is recorded since the clock was set ahead."""


@dataclass(frozen=True, slots=True)
class TrimRequest:
    """A checked request; one of ``before``, a position, and ``before_us``, a time, is set."""

    before: int | None
    before_us: int | None
    archive: Path | None
    reason: str
    by: str
    keep: Keep | None
    force: bool
    dry_run: bool
    forgo_rebuild: frozenset[str]


def make_request(
    before: int | datetime,
    archive: str | PathLike[str] | None,
    reason: str,
    by: str,
    keep: Keep | None,
    *,
    force: bool,
    dry_run: bool,
    forgo_rebuild: Collection[str],
) -> TrimRequest:
    """Check the arguments of a trim; raise InvalidInputError for what makes no sense."""
    position = time = None
    if isinstance(before, datetime):
        if before.utcoffset() is None:
            raise InvalidInputError("before", f"{before} has no time zone")
        time = to_microseconds(before.astimezone(UTC))
    elif type(before) is int and before > 0:
        position = before
    else:
        raise InvalidInputError(f"before={before!r:.40}", "is neither a position nor a time")
    if isinstance(forgo_rebuild, str):
        raise InvalidInputError("forgo_rebuild", "is a text: give a list of names of views")
    path = None if archive is None else Path(archive)
    forgone = frozenset(forgo_rebuild)
    return TrimRequest(position, time, path, reason, by, keep, force, dry_run, forgone)


def prepare_trim(
    log: MovableLog, request: TrimRequest, lift: Callable[[Event], Event], progress: Progress
) -> tuple[Trim | None, Trimmed]:
    """Write the archive and decide the trim; ``None`` where there is nothing to take away.

    A dry run reads and decides the same and writes nothing: no archive, and ``None`` to be done.
    Raises HistoryHeldError where a consumer or a projection has not come so far, ViewNotKeptError
    where a view could not be computed again, NotEmptyError where the archive's name is taken.
    """
    needs = read_needs(request.keep)
    head = log.head()
    cut = log.cut(request.before, request.before_us)
    ahead = time_ahead(head.recorded_us, log.now()) // 1_000_000
    if cut.position < head.first_position:
        return None, Trimmed(head.first_position, ahead_seconds=ahead)
    if not request.force:
        _check_declared(needs, request.forgo_rebuild)
        log.check_held(cut.position, needs.served, request.forgo_rebuild)
    archive = _archive_path(log, request.archive, head, cut)
    events = cut.position - head.first_position + 1
    last = from_microseconds(describe_prefix(log, head, cut).recorded_us).isoformat()
    if request.dry_run:
        with Path(os.devnull).open("wb") as nothing:
            keep, _ = _archive(log, head, cut, nothing, needs.keepers, lift, progress)
        planned = Trimmed(cut.position + 1, events, len(keep), str(archive))
        return None, msgspec.structs.replace(planned, recorded_at=last, ahead_seconds=ahead)
    with writing(archive, mode=permissions(log.path)) as file:
        keep, checksum = _archive(log, head, cut, file, needs.keepers, lift, progress)
    done = Trimmed(cut.position + 1, events, len(keep), str(archive), checksum, last, ahead)
    notice = _notice(log, request, needs, cut, done, keep)
    told = {"served": needs.served, "forgone": request.forgo_rebuild}
    return Trim(cut, head.first_position, keep, request.force, notice, **told), done


def _check_declared(needs: Needs, forgone: Collection[str]) -> None:
    for view in needs.undeclared:
        if view not in needs.served and view not in forgone:
            raise ViewNotKeptError(view)


def _archive_path(log: MovableLog, given: Path | None, head: Head, cut: Cursor) -> Path:
    if given is not None:
        check_target(given, log.path, replace=False)
        return given.absolute()
    if log.path is None:
        raise InvalidInputError("archive", f"say where to: {log.url} has no place beside it")
    # A file of that name is from an interrupted trim: the log still holds all of it.
    return log.path.with_name(f"{log.path.name}.{head.first_position}-{cut.position}.export")


def _archive(
    log: MovableLog,
    head: Head,
    cut: Cursor,
    file: IO[bytes],
    keepers: Sequence[Keep],
    lift: Callable[[Event], Event],
    progress: Progress,
) -> tuple[list[int], str]:
    """Write the archive while the policies look at what goes into it."""
    writer = ArchiveWriter(file)
    own: list[int] = []
    earlier: set[int] = set()

    def archived_events() -> Iterator[Event]:
        records = export_records(log, describe_prefix(log, head, cut), (), progress)
        for record in records:
            writer.write(record, content_bytes(record))
            if isinstance(record, EventRecord | KeptRecord):
                if record.position < head.first_position:
                    earlier.add(record.position)
                if record.stream.startswith(OWN_CATEGORIES) or record.stream in OWN_STREAMS:
                    own.append(record.position)
                yield lift(_event(record))

    def rest(category: str) -> Iterator[Event]:
        return map(lift, _read_rest(log, cut, category))

    events = archived_events()
    wanted = {
        position
        for position in keep_for_all(keepers, rest)(events)
        if head.first_position <= position <= cut.position or position in earlier
    }
    for _ in events:
        pass  # A policy may stop early; the archive needs the rest.
    return sorted(wanted.union(own)), writer.finish()


def _read_rest(log: MovableLog, cut: Cursor, category: str) -> Iterator[Event]:
    """Read the events of a category that stay, up to the head."""
    query = Query(after=cut.position, streams=category, expect=cut)
    while True:
        page = log.page(query)
        yield from page.events
        if page.through.position >= page.head.position:
            return
        through = page.through
        query = msgspec.structs.replace(query, after=through.position, expect=through)


def _event(record: EventRecord | KeptRecord) -> Event:
    return Event(
        record.position,
        record.stream,
        record.version,
        record.type,
        record.commit,
        record.id,
        record.content,
        record.data,
        record.metadata,
        record.recorded_us,
        record.hash,
    )


def _notice(
    log: MovableLog,
    request: TrimRequest,
    needs: Needs,
    cut: Cursor,
    done: Trimmed,
    keep: list[int],
) -> Append:
    event = NewEvent(
        HISTORY_TRIMMED,
        {
            "first_position": done.first_position,
            "hash": cut.hash.hex(),
            "events": done.events,
            "kept": done.kept,
            "kept_sha256": kept_checksum(log.hashes(keep)),
            VIEWS: sorted(needs.served),
            "archive": Path(done.archive).name,
            "archive_sha256": done.sha256,
            "reason": request.reason,
            "by": request.by,
        },
    )
    return Append([StreamWrite(TRIMS, [event])], 1, len(event.raw_data))


def kept_checksum(hashes: Iterable[tuple[int, bytes]]) -> str:
    """Return the SHA-256, in hex, over position (8 bytes, big-endian) and hash of each event."""
    covered = sha256()
    for position, digest in hashes:
        covered.update(struct.pack(">Q", position) + digest)
    return covered.hexdigest()
