"""Whole logs in and out of the log's tables, a page or a batch at a time."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from eventstore.errors import HistoryDivergedError, NotEmptyError
from eventstore.log.events import Cursor
from eventstore.log.records import (
    ConsumerRecord,
    EventRecord,
    KeptRecord,
    LogRecord,
    Record,
    StreamRecord,
)
from eventstore.storage.incarnation import renew
from eventstore.storage.reading import PAGE_BYTES, check_cursor, read_consumers, read_head

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from eventstore.log.operations import ConsumerState, Head
    from eventstore.storage.driver import Driver

BATCH: Final = 1_000
"""Records inserted together; less than a batch where they are large."""

_COLUMNS: Final = (
    "position, stream_id, version, id, type, commit_position, content, data, metadata, "
    "recorded_us, salt, digest, hash"
)
_KEPT: Final = (
    "SELECT e.position, s.name, e.version, e.id, e.type, e.commit_position, e.content, e.data, "
    "e.metadata, e.recorded_us, e.salt, e.digest, e.hash, e.previous "
    "FROM kept e JOIN stream s ON s.id = e.stream_id WHERE e.position > ?"
)
_STREAMS: Final = "SELECT id, name, {} FROM stream s WHERE id > ? ORDER BY id LIMIT ?"
_VERSION_THEN: Final = (
    "version - (SELECT count(*) FROM event e WHERE e.stream_id = s.id AND e.position > ?)"
)


def read_outline(driver: Driver) -> tuple[Head, list[ConsumerState]]:
    """Read the head and all consumers."""
    return read_head(driver), read_consumers(driver)


def read_streams(
    driver: Driver, after: int, until: int, limit: int
) -> list[tuple[int, StreamRecord]]:
    """Read streams by number, with the versions that they had at the position ``until``."""
    if until == read_head(driver).position:
        rows = driver.rows(_STREAMS.format("version"), (after, limit))
    else:
        rows = driver.rows(_STREAMS.format(_VERSION_THEN), (until, after, limit))
    return [(id_, StreamRecord(name, version)) for id_, name, version in rows]


def read_kept(driver: Driver, after: int, limit: int) -> list[KeptRecord]:
    """Read what trimming has kept, some megabytes at the most."""
    found, size = [], 0
    for row in driver.events(_KEPT, "e.position", [after], limit, PAGE_BYTES):
        record = KeptRecord(*row)
        found.append(record)
        size += len(record.data or b"") + len(record.metadata or b"")
        if size >= PAGE_BYTES:
            break
    return found


def load(driver: Driver, records: Iterable[Record], where: str) -> Head:
    """Fill an empty log, within the caller's transaction."""
    _check_empty(driver, where)
    source = iter(records)
    log = next(source)
    assert isinstance(log, LogRecord)  # noqa: S101 - checked by the reader of the records
    driver.run(
        "UPDATE head SET log_id = ?, first_position = ?, base_hash = ?",
        (log.log_id, log.first_position, log.base_hash),
    )
    streams = 0
    versions: dict[str, int] = {}
    for kind, group in groupby(source, type):
        for batch in _batches(group):
            if kind is StreamRecord:
                _refuse_known_streams(driver, batch)
                rows = [(streams + number, *_fields(one)) for number, one in enumerate(batch, 1)]
                driver.insert("INSERT INTO stream (id, name, version) VALUES", rows)
                streams += len(batch)
            elif kind in _INSERTS:
                sql, make_rows = _INSERTS[kind]
                if kind is not ConsumerRecord:
                    _refuse_known_events(driver, batch, versions)
                driver.insert(sql, make_rows(driver, batch))
            driver.keep_alive()
    driver.run(
        "UPDATE head SET position = ?, recorded_us = ?, hash = ?",
        (log.position, log.recorded_us, log.hash),
    )
    renew(driver)
    head = read_head(driver)
    _check_streams(driver, whole=head.first_position == 1)
    for name, position, digest in driver.rows("SELECT name, position, hash FROM consumer"):
        _check_consumer(driver, head, name, Cursor(head.log_id, position, bytes(digest)))
    return head


def _check_empty(driver: Driver, where: str) -> None:
    head = read_head(driver, lock=True)
    found = [
        table
        for table in ("event", "stream", "kept", "consumer")
        if driver.row(f"SELECT 1 FROM {table} LIMIT 1")  # noqa: S608 - our own names
    ]
    if found or head.position or head.first_position > 1:
        what = "consumers" if found == ["consumer"] else f"a log at position {head.position}"
        raise NotEmptyError(where, f"holds {what}", "import into a new, empty one")


def _batches(records: Iterator[Any]) -> Iterator[list[Any]]:
    batch: list[Any] = []
    size = 0
    for record in records:
        batch.append(record)
        size += len(getattr(record, "data", None) or b"")
        if len(batch) >= BATCH or size >= PAGE_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _refuse_known_streams(driver: Driver, batch: Sequence[StreamRecord]) -> None:
    names = [record.name for record in batch]
    known = {name for (name,) in driver.lookup("SELECT name FROM stream WHERE name IN ({})", names)}
    for name in names:
        if name in known:
            raise ValueError(f"stream {name!r:.80} is there twice")
        known.add(name)


def _refuse_known_events(
    driver: Driver, batch: Sequence[EventRecord | KeptRecord], versions: dict[str, int]
) -> None:
    """Refuse an id that an earlier event has, and a version that does not rise.

    ``versions`` are those of the events so far, by stream.
    """
    table = "kept" if isinstance(batch[0], KeptRecord) else "event"
    query = f"SELECT id, position FROM {table} WHERE id IN ({{}})"  # noqa: S608 - our own names
    found = driver.lookup(query, [record.id for record in batch])
    known = {bytes(id_): position for id_, position in found}
    for record in batch:
        earlier = known.setdefault(record.id, record.position)
        if earlier != record.position:
            raise ValueError(f"event {record.position} has the id of event {earlier}")
        before = versions.get(record.stream, 0)
        if record.version <= before:
            raise ValueError(
                f"event {record.position} is version {record.version} of stream "
                f"{record.stream!r:.80} after version {before}"
            )
        versions[record.stream] = record.version


def _fields(record: Any) -> tuple[Any, ...]:
    return tuple(getattr(record, name) for name in record.__struct_fields__)


def _with_stream_ids(driver: Driver, batch: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Turn records into rows: the second field, a stream's name, becomes its number."""
    names = sorted({record.stream for record in batch})
    ids = dict(driver.lookup("SELECT name, id FROM stream WHERE name IN ({})", names))
    if missing := [name for name in names if name not in ids]:
        raise ValueError(f"events are of stream {missing[0]!r:.80}, which is not listed")
    return [(fields[0], ids[fields[1]], *fields[2:]) for fields in (_fields(one) for one in batch)]


def _plain(_: Driver, batch: Sequence[Any]) -> list[tuple[Any, ...]]:
    return [_fields(record) for record in batch]


_Rows: TypeAlias = "Callable[[Driver, Sequence[Any]], list[tuple[Any, ...]]]"

_INSERTS: Final[dict[type, tuple[str, _Rows]]] = {
    EventRecord: (f"INSERT INTO event ({_COLUMNS}) VALUES", _with_stream_ids),
    KeptRecord: (f"INSERT INTO kept ({_COLUMNS}, previous) VALUES", _with_stream_ids),
    ConsumerRecord: (
        "INSERT INTO consumer (name, position, hash, epoch, owner, seen_us) VALUES",
        _plain,
    ),
}


_WRONG_VERSIONS: Final = (
    "SELECT s.name FROM stream s {} (SELECT stream_id, min(version) AS first, "
    "max(version) AS last, count(*) AS events FROM event GROUP BY stream_id) e "
    "ON e.stream_id = s.id WHERE e.last <> s.version OR e.last - e.first + 1 <> e.events {} LIMIT 1"
)
_WRONG_ORDER: Final = (
    "SELECT s.name FROM event e JOIN event n ON n.stream_id = e.stream_id "
    "AND n.version = e.version + 1 JOIN stream s ON s.id = e.stream_id "
    "WHERE n.position < e.position LIMIT 1"
)


def _check_streams(driver: Driver, *, whole: bool) -> None:
    """Check that each stream's events end at its version, in order and without a hole.

    In a ``whole`` log, which was never trimmed, each stream begins at version 1.
    """
    wrong = _WRONG_VERSIONS.format("JOIN", "")
    if whole:
        wrong = _WRONG_VERSIONS.format("LEFT JOIN", "OR e.first <> 1 OR e.last IS NULL")
    row = driver.row(wrong) or driver.row(_WRONG_ORDER)
    if row is not None:
        raise ValueError(f"the versions of stream {row[0]!r:.80} have a hole, or another order")


def _check_consumer(driver: Driver, head: Head, name: str, cursor: Cursor) -> None:
    try:
        check_cursor(driver, head, cursor)
    except HistoryDivergedError as error:
        raise ValueError(f"consumer {name!r:.80}: {error}") from error
