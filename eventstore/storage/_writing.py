"""Writing the log's tables: one group of operations within one transaction.

A group that appends takes the head row before it reads anything else, so that nothing read
here can change before it commits. One that only acknowledges, or tells of workers, leaves the head
alone: a hundred followers would otherwise hold up the appends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from eventstore.errors import EventStoreError
from eventstore.log.append_plan import KnownEvent, Plan
from eventstore.log.event_ids import TEXT_IDS
from eventstore.log.events import Appended, Cursor, Event
from eventstore.log.operations import (
    Acknowledge,
    Append,
    Batches,
    CommitBatch,
    ConsumerOperation,
    Head,
    Operation,
    Outcome,
    Redact,
    RemoveReport,
    ReportOperation,
    StoreReport,
    Transact,
    Trim,
)
from eventstore.storage import _erasure, _trimming
from eventstore.storage._consumers import write_consumer
from eventstore.storage._erasure import Erasure
from eventstore.storage._inline import (
    apply_appended,
    ask_checkpoints,
    catch_up_inline,
    is_at,
    redacts,
)
from eventstore.storage._stream_cache import StreamCache
from eventstore.storage.driver import ROWS
from eventstore.storage.reading import read_head
from eventstore.storage.reports import write_report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from eventstore.log.append_plan import Row
    from eventstore.log.clock import ClockWatch
    from eventstore.log.events import StreamWrite
    from eventstore.log.inline_view import InlineView
    from eventstore.storage.driver import Driver
    from eventstore.storage.incarnation import KnownLog

_KNOWN = (
    "SELECT e.id, e.position, s.name, e.type, e.commit_position, e.content, e.salt, e.digest "
    "FROM event e JOIN stream s ON s.id = e.stream_id WHERE e.id IN ({})"
)
_BESIDE: Final = frozenset({Acknowledge, StoreReport, RemoveReport})
"""Operations for which the head may move meanwhile."""

_INSERT = (
    "INSERT INTO event (position, stream_id, version, id, type, commit_position, content, "
    "data, metadata, recorded_us, salt, digest, hash) VALUES"
)


def write_group(
    driver: Driver,
    group: Sequence[Operation],
    inline: Sequence[InlineView],
    now_us: int,
    batches: Batches = None,
    cache: StreamCache | None = None,
    watch: ClockWatch | None = None,
    known: KnownLog | None = None,
) -> list[Outcome]:
    """Carry out a group; an operation that conflicts is an error value among the outcomes.

    What is appended is added to ``batches`` where that is given. ``cache`` spares reads while no
    other writer has changed the head since the last group. Raises LogReplacedError where the log is
    not the one that ``known`` names.
    """
    cache = StreamCache() if cache is None else cache
    kinds = {type(operation) for operation in group}
    if kinds == {Append}:
        ask_checkpoints(driver, inline)
        cache.ask(driver, {write.stream for step in group for write in _writes(step)})
    head = read_head(driver, lock=not kinds <= _BESIDE, known=known)
    steps = [
        _erasure.prepare(driver, head, operation) if isinstance(operation, Redact) else operation
        for operation in group
    ]
    writes = [write for step in steps for write in _writes(step)]
    plan = _begin_plan(driver, head, writes, now_us, cache)
    if Trim in kinds:
        # After the trim the projections could no longer read the events that they lack.
        for view in inline:
            catch_up_inline(driver, view, head)
    outcomes = [_carry_out(driver, plan, step, head) for step in steps]
    if plan.changed:
        if watch is not None:
            watch.look(head.recorded_us, now_us)
        _store_changes(driver, plan, inline, head, batches, cache)
    if Transact in kinds:
        _transact(driver, [one for one in steps if isinstance(one, Transact)], inline, plan.head)
    return [outcome() if callable(outcome) else outcome for outcome in outcomes]


def _begin_plan(
    driver: Driver, head: Head, writes: Sequence[StreamWrite], now_us: int, cache: StreamCache
) -> Plan:
    """Return a plan that knows the streams, and the ids, of what is to be written."""
    versions: dict[str, int] = {}
    stored: dict[bytes, KnownEvent] = {}
    if writes:
        versions = cache.begin(driver, head, {write.stream for write in writes})
        stored = _read_known(driver, writes, cache.largest)
    return Plan(head, versions, stored, lambda commit: _earlier_call(driver, head, commit), now_us)


def _store_changes(
    driver: Driver,
    plan: Plan,
    inline: Sequence[InlineView],
    head: Head,
    batches: Batches,
    cache: StreamCache,
) -> None:
    """Store what was planned after ``head``, apply it, and add it to ``batches``."""
    events: list[Event] | None = [] if inline or batches is not None else None
    _store(driver, plan, cache, events)
    if inline:
        _apply_to_inline(driver, plan, inline, head, events or ())
    if batches is not None:
        batches.append(CommitBatch(head.cursor, tuple(events or ())))


def _apply_to_inline(
    driver: Driver,
    plan: Plan,
    inline: Sequence[InlineView],
    head: Head,
    events: Sequence[Event],
) -> None:
    """Apply what was appended after ``head`` to the inline projections."""
    for view in inline:
        if not is_at(driver, view, head.cursor) and not catch_up_inline(driver, view, head):
            continue
        apply_appended(driver, view, events, plan.head.cursor)
        if redacts(events):
            # A projection that cannot erase content has reset itself to the beginning.
            catch_up_inline(driver, view, plan.head, whole=True)


def _transact(
    driver: Driver, operations: Sequence[Transact], inline: Sequence[InlineView], head: Head
) -> None:
    for view in inline:
        catch_up_inline(driver, view, head)
    for operation in operations:
        operation.function(driver.connection)


_Step: TypeAlias = (
    Append | ConsumerOperation | ReportOperation | Trim | Transact | Erasure | EventStoreError
)
"""An operation, decided as far as possible before the plan is made."""


def _writes(step: Operation | _Step) -> Sequence[StreamWrite]:
    if isinstance(step, Append):
        return step.writes
    if isinstance(step, Erasure):
        return step.append.writes
    return step.notice.writes if isinstance(step, Trim) else ()


def _is_done(plan: Plan, trim: Trim) -> bool:
    """Whether an earlier attempt, whose answer was lost, did it: its notice is stored then."""
    return any(plan.stream_of(e.raw_id) for write in trim.notice.writes for e in write.events)


def _carry_out(
    driver: Driver, plan: Plan, operation: _Step, head: Head
) -> Outcome | Callable[[], Appended]:
    if isinstance(operation, EventStoreError):
        return operation
    outcome: Outcome | Callable[[], Appended] = None
    try:
        if isinstance(operation, Append):
            outcome = plan.add(operation)
        elif isinstance(operation, Erasure):
            outcome = _erasure.erase(driver, plan, operation)
        elif isinstance(operation, Trim):
            if not _is_done(plan, operation):
                _trimming.trim(driver, head, operation)
            outcome = plan.add(operation.notice)
        elif isinstance(operation, ConsumerOperation):
            outcome = write_consumer(driver, head, operation, plan.now_us)
        elif isinstance(operation, ReportOperation):
            write_report(driver, operation, plan.now_us)
    except EventStoreError as error:
        return error
    return outcome


def _read_known(
    driver: Driver, writes: Sequence[StreamWrite], largest: bytes
) -> dict[bytes, KnownEvent]:
    """Return what is stored under the ids of these writes.

    Ids are made in time order, so nearly every new one lies above the ``largest`` that is
    stored, and one look at the end of the index answers for it. Ids given as text sort
    after all UUIDs and are always looked up.
    """
    wanted = [
        event.raw_id
        for write in writes
        for event in write.events
        if event.raw_id <= largest or event.raw_id >= TEXT_IDS
    ]
    if not wanted:
        return {}
    return {row[0]: KnownEvent(*row[1:]) for row in driver.lookup(_KNOWN, wanted)}


def _earlier_call(driver: Driver, head: Head, commit: int) -> Appended:
    """Return the result of the call whose last event is at ``commit``."""
    rows = driver.rows(
        "SELECT s.name, e.version, e.hash, e.recorded_us FROM event e "
        "JOIN stream s ON s.id = e.stream_id "
        "WHERE e.position > ? AND e.position <= ? ORDER BY e.position",
        (_commit_before(driver, commit), commit),
    )
    versions = {name: version for name, version, *_ in rows}
    _, version, digest, recorded_us = rows[-1]
    cursor = Cursor(head.log_id, commit, digest)
    return Appended(commit, versions, cursor, True, version, recorded_us)


def _commit_before(driver: Driver, commit: int) -> int:
    row = driver.row(
        "SELECT position FROM event WHERE position < ? AND commit_position < ? "
        "ORDER BY position DESC LIMIT 1",
        (commit, commit),
    )
    return row[0] if row else 0


_DATA: Final = 7
_BOUND: Final = 4 * 1024 * 1024


def _bounded(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Yield rows in lists of about 4 MB of data: the database copies what a statement inserts."""
    batch: list[Row] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += len(row[_DATA])
        if size >= _BOUND or len(batch) == ROWS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _store(driver: Driver, plan: Plan, cache: StreamCache, events: list[Event] | None) -> None:
    ids = cache.store(driver, plan.changed)
    for rows in _bounded(plan.rows(ids, events)):
        driver.insert(_INSERT, rows)
    driver.move_head(plan.head.position, plan.head.recorded_us, plan.head.hash)
    cache.end(plan.head, plan.largest)
