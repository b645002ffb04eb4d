"""Reading the log's tables: the head, cursors, consumers, whole rows of events.

Every function works within the transaction of the driver that it is given: all that it reads
belongs to one snapshot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from eventstore.errors import HistoryDivergedError, StorageError
from eventstore.log.events import Cursor, Event
from eventstore.log.operations import (
    REMOVED,
    ConsumerState,
    Head,
    SlowConsumers,
    StoredEvent,
    StreamState,
    ToldView,
    ViewState,
    ownership_error,
)
from eventstore.storage.migrations import newest_schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from eventstore.storage.driver import Driver
    from eventstore.storage.incarnation import KnownLog

PAGE_BYTES: Final = 8 * 1024 * 1024
"""A page ends early once it holds this much content: what bounds a reader's memory."""

HEAD: Final = "log_id, first_position, position, recorded_us, hash, base_hash"
"""The columns of the head row, in the order of Head's fields."""
_HEAD_COLUMNS: Final = 6
_LOCKED_HEAD: Final = f"{HEAD}, schema_version"

OWNERS: Final = "SELECT name, epoch, owner FROM consumer WHERE name IN ({})"
"""Selects the present epoch and owner of consumers."""

_CONSUMERS: Final = "SELECT name, position, hash, epoch, owner, seen_us FROM consumer"
_SLOWEST: Final = (
    "SELECT name, position, hash, epoch, owner, seen_us FROM "
    "(SELECT * FROM consumer ORDER BY name LIMIT ?) AS found ORDER BY position, name LIMIT ?"
)

# A row whose stream is missing is read as well: verification has to find it.
_STORED = (
    "SELECT e.position, coalesce(s.name, '') AS name, e.version, e.type, e.commit_position, e.id, "
    "e.content, e.data, e.metadata, e.recorded_us, e.hash, e.salt, e.digest "
    "FROM event e LEFT JOIN stream s ON s.id = e.stream_id WHERE e.position > ?"
)


def read_head(driver: Driver, *, lock: bool = False, known: KnownLog | None = None) -> Head:
    """Read the head row; ``lock`` keeps it as it is until the transaction ends.

    Where it is not of the log that ``known`` names, it is LogReplacedError.

    Locking is a statement of its own, and the first one: what is read after it is what the
    appends before this one have committed. Raises StorageError where a newer program has changed
    the schema meanwhile: only that one knows what an append has to write.
    """
    more = "" if known is None else f", {known.column(driver)}"
    row = driver.head_row(f"{_LOCKED_HEAD if lock else HEAD}{more}", lock=lock)
    if row is None:
        raise LookupError("the head row is missing")
    head = Head(*row[:_HEAD_COLUMNS])
    if known is not None:
        known.check(driver, head.log_id, row[-1])
    schema_version = row[_HEAD_COLUMNS] if lock else 0
    if schema_version > newest_schema():
        reason = (
            f"its schema is version {schema_version} by now, this program knows {newest_schema()}: "
            "upgrade the program before it writes"
        )
        raise StorageError("the log", reason)
    return head


def hash_at(driver: Driver, head: Head, position: int) -> bytes:
    """Return the chain's hash at a committed position; empty where it is not kept."""
    if position == head.position:
        return head.hash
    if position == head.first_position - 1:
        return head.base_hash or b""
    table = "event" if position >= head.first_position else "kept"
    row = driver.row(f"SELECT hash FROM {table} WHERE position = ?", (position,))  # noqa: S608
    return bytes(row[0]) if row else b""


def check_cursor(driver: Driver, head: Head, cursor: Cursor) -> None:
    """Raise HistoryDivergedError unless the log contains this cursor."""

    def diverged(reason: str) -> HistoryDivergedError:
        return HistoryDivergedError(cursor.position, head.position, reason)

    if cursor.log_id != head.log_id:
        raise diverged(f"it was made by log {cursor.log_id}, this is {head.log_id}")
    if cursor.position > head.position:
        raise diverged("it lies beyond the head")
    known = hash_at(driver, head, cursor.position)
    if (known or cursor.position >= head.first_position) and cursor.hash != known:
        raise diverged("another event is stored at that position")


def check_owner(driver: Driver, name: str, epoch: int) -> None:
    """Raise TakenOverError unless ``epoch`` is still the consumer's."""
    for owner in read_lost(driver, [(name, epoch)]).values():
        raise ownership_error(name, owner)


def read_lost(driver: Driver, consumers: Sequence[tuple[str, int]]) -> dict[tuple[str, int], str]:
    """Return those consumers whose epoch has passed to another owner, with that owner."""
    return lost_among(consumers, driver.lookup(OWNERS, [name for name, _ in consumers]))


def lost_among(
    consumers: Sequence[tuple[str, int]], rows: Iterable[tuple[Any, ...]] = ()
) -> dict[tuple[str, int], str]:
    """Return what :func:`read_lost` does, given the rows of :data:`OWNERS`."""
    owners = {name: (epoch, owner) for name, epoch, owner in rows}
    gone = (-1, REMOVED)
    present = [(one, owners.get(one[0], gone)) for one in consumers]
    return {one: owner for one, (epoch, owner) in present if epoch != one[1]}


def read_consumers(driver: Driver, names: Sequence[str] | None = None) -> list[ConsumerState]:
    """Read named consumers, by name: all of them, or those of ``names`` that are known."""
    log_id = read_head(driver).log_id
    if names is None:
        rows = driver.rows(f"{_CONSUMERS} ORDER BY name")
    else:
        rows = sorted(driver.lookup(f"{_CONSUMERS} WHERE name IN ({{}})", names))
    return [_consumer(log_id, row) for row in rows]


def read_slowest(driver: Driver, limit: int, among: int | None) -> SlowConsumers:
    """Read the consumers that are furthest behind: of all, or of the first ``among`` by name.

    No index is by position: the cost is that of the consumers among which they are searched.
    """
    log_id = read_head(driver).log_id
    bound = (2**31 if among is None else among + 1,)
    row = driver.row("SELECT count(*) FROM (SELECT 1 FROM consumer LIMIT ?) AS found", bound)
    count = row[0] if row else 0
    more = among is not None and count > among
    if among is not None and more:
        count, bound = among, (among,)
    rows = driver.rows(_SLOWEST, (*bound, limit))
    return SlowConsumers(count, more, [_consumer(log_id, row) for row in rows])


def _consumer(log_id: str, row: Sequence[Any]) -> ConsumerState:
    name, position, digest, epoch, owner, seen_us = row
    return ConsumerState(name, Cursor(log_id, position, digest), epoch, owner, seen_us)


_VIEWS: Final = (
    "SELECT name, version, coalesce(position, 0), epoch > 0 FROM projection ORDER BY name"
)
_FAILURES: Final = "SELECT name, position, reason, failed_us FROM projection_failure"


def read_views(driver: Driver) -> list[ViewState]:
    """Read the table projections in the log's database, by name."""
    if not driver.has_table("projection"):
        return []
    failed = driver.rows(_FAILURES) if driver.has_table("projection_failure") else []
    failures = {name: (at, reason, when) for name, at, reason, when in failed}
    views = []
    for name, version, position, followed in driver.rows(_VIEWS):
        at, reason, when = failures.get(name, (None, None, None))
        views.append(ViewState(name, version, position, at, reason, when, bool(followed)))
    return views


_TOLD: Final = "SELECT name, told_us, facts FROM projection_elsewhere ORDER BY name, place"


def read_told_views(driver: Driver) -> list[ToldView]:
    """Read what the log was told of projections in other databases, by name."""
    if not driver.has_table("projection_elsewhere"):
        return []
    return [ToldView(*row) for row in driver.rows(_TOLD)]


_STREAMS = (
    "SELECT s.name, s.version, coalesce(e.position, k.position), coalesce(e.type, k.type), "
    "coalesce(e.recorded_us, k.recorded_us) FROM stream s "
    "LEFT JOIN event e ON e.stream_id = s.id AND e.version = s.version "
    "LEFT JOIN kept k ON k.stream_id = s.id AND k.version = s.version AND e.position IS NULL "
    "WHERE substr(s.name, 1, length(?)) = ? AND s.name > ? "
)
_STREAMS_PAGE = "ORDER BY s.name LIMIT ?"


def read_streams(driver: Driver, prefix: str, after: str, limit: int) -> list[StreamState]:
    """Read the streams whose names begin with ``prefix`` and follow ``after``, by name."""
    sql, parameters = _STREAMS, [prefix, prefix, after]
    if prefix.endswith("/"):
        # No name outside of a category is looked at: "0" is the character after "/".
        sql += "AND s.name >= ? AND s.name < ? "
        parameters += [prefix, prefix[:-1] + "0"]
    return [StreamState(*row) for row in driver.rows(sql + _STREAMS_PAGE, [*parameters, limit])]


def read_stored(driver: Driver, after: int, limit: int) -> list[StoredEvent]:
    """Read whole rows in position order, until ``limit`` or the size of a page is reached."""
    found: list[StoredEvent] = []
    size = 0
    for row in driver.events(_STORED, "e.position", [after], limit, PAGE_BYTES):
        *columns, salt, digest = row
        event = Event(*columns)
        found.append(StoredEvent(event, salt, digest))
        size += len(event.raw_data or b"") + len(event.raw_metadata or b"")
        if size >= PAGE_BYTES:
            break
    return found
