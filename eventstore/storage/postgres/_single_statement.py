"""Appending by one statement: one exchange with the server where others take two or more.

A group of appends is planned on the head that this process has written last. The statement moves
the head row from there, and stores nothing where it is another one by then, or the log another log.
The group is then planned again, in a transaction that locks the head first. So no plan stands that
another writer's commit has overtaken, nor a conflict in it.

The statement is a transaction of its own: the row is locked from when it is moved until the commit,
and never while the server waits for this process. A caller's transaction runs it before its COMMIT.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

import psycopg

from eventstore.errors import EventStoreError
from eventstore.log.append_plan import Plan
from eventstore.log.event_ids import TEXT_IDS
from eventstore.log.operations import Append, CommitBatch
from eventstore.storage._stream_cache import BUSY_GROUPS
from eventstore.storage.migrations import newest_schema
from eventstore.storage.postgres._driver import PostgresDriver
from eventstore.storage.postgres._head import PAGES, page_of
from eventstore.storage.postgres._row_arrays import RowType, read_row_type
from eventstore.storage.postgres.connection import is_lost, is_timeout
from eventstore.storage.qualified import qualify

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from eventstore.log.clock import ClockWatch
    from eventstore.log.events import Appended, Event
    from eventstore.log.operations import Batches, Head, Operation, Outcome
    from eventstore.storage._stream_cache import StreamCache
    from eventstore.storage.incarnation import KnownLog
    from eventstore.storage.postgres.connection import Session

log = logging.getLogger(__name__)

MOST_EVENTS: Final = 256
"""Of larger groups the server stores the first rows while the last ones are hashed."""
MOST_BYTES: Final = 1024 * 1024
"""Content that a statement is given whole."""

_STREAM: Final = {"id": "int8", "name": "text", "version": "int8"}
_EVENT: Final = {
    "position": "int8", "stream_id": "int8", "version": "int8", "id": "bytea", "type": "text",
    "commit_position": "int8", "content": "int2", "data": "bytea", "metadata": "bytea",
    "recorded_us": "int8", "salt": "bytea", "digest": "bytea", "hash": "bytea",
}  # fmt: skip
"""Columns in the order of the tables, which is that of a plan's rows."""


@cache
def _statement(schema: str, unchanged: str) -> str:
    # A stream is found by its key, whatever plan the server keeps: an UPDATE from an array would be
    # planned once, for as few streams as there are then.
    schema = schema.replace("%", "%%")
    condition = qualify(unchanged, schema).replace("?", "%s")
    values = ", ".join(f"e.{name}" for name in _EVENT)
    return f"""
WITH moved AS (
    UPDATE {schema}.head SET position = %s::pg_catalog.int8,
        recorded_us = %s::pg_catalog.int8, hash = %s::pg_catalog.bytea
    WHERE position = %s::pg_catalog.int8 AND hash = %s::pg_catalog.bytea
        AND log_id = %s::pg_catalog.text AND schema_version <= {newest_schema()} AND {condition}
    RETURNING ctid
), versions AS (
    INSERT INTO {schema}.stream (id, name, version) SELECT s.id, s.name, s.version
    FROM moved, pg_catalog.unnest(%s::{schema}.stream[]) s
    ON CONFLICT (id) DO UPDATE SET version = excluded.version
), events AS (
    INSERT INTO {schema}.event ({", ".join(_EVENT)}) SELECT {values}
    FROM moved, pg_catalog.unnest(%s::{schema}.event[]) e
) SELECT ctid AS "COMMITTED" FROM moved"""  # noqa: S608 - our own names


class SingleStatement:
    """Carries out groups of appends by one statement each, while this process writes alone.

    The arguments are those of the backend; ``use`` gives what writes, outside of a transaction.
    """

    def __init__(
        self,
        cache: StreamCache,
        known: KnownLog,
        watch: ClockWatch,
        use: Callable[[], AbstractContextManager[PostgresDriver]],
    ) -> None:
        self._cache = cache
        self._known = known
        self._watch = watch
        self._use = use

    def write(
        self, group: Sequence[Operation], now_us: int, batches: Batches
    ) -> list[Outcome] | None:
        """Carry out a group; return ``None`` where that takes a transaction, and nothing is stored.

        What is appended is added to ``batches`` where that is given. Raises what ``use`` does, for
        a connection that was lost or a limit on time.
        """
        cache = self._cache
        appends = [operation for operation in group if isinstance(operation, Append)]
        if cache.busy or len(appends) < len(group) or not _is_known(appends, cache):
            return None
        events: list[Event] | None = None if batches is None else []
        with self._use() as driver:
            planned = _plan(appends, driver, cache, now_us)
            if planned is None:
                return None
            self._watch.look(planned.head.recorded_us, now_us)
            stored = self._store(driver, planned, events)
        plan = planned.plan
        if not stored:
            cache.busy = BUSY_GROUPS
            return None
        cache.keep(planned.ids, plan.changed, plan.head, plan.largest)
        if batches is not None:
            batches.append(CommitBatch(planned.head.cursor, tuple(events or ())))
        return [outcome() if callable(outcome) else outcome for outcome in planned.outcomes]

    def _store(self, driver: PostgresDriver, planned: _Planned, events: list[Event] | None) -> bool:
        """Store a group, or return False and store nothing."""
        session = driver.session
        types = _row_types(session)
        if types is None or session.head_page >= PAGES:
            return False
        stream, event = types
        head, plan, ids, _ = planned
        rows = event.array(plan.rows(ids, events))
        streams = stream.array((ids[name], name, at) for name, at in plan.changed.items())
        new = plan.head
        condition, values = self._known.unchanged(PostgresDriver.table_mark)
        parameters = [
            new.position, new.recorded_us, new.hash, head.position, head.hash, head.log_id,
            *values, streams, rows,
        ]  # fmt: skip
        try:
            cursor = driver.execute_kept(_statement(session.schema, condition), parameters)
        except psycopg.Error as error:
            if is_lost(error) or is_timeout(error):
                raise
            if not isinstance(error, psycopg.errors.SerializationFailure):
                # The transaction that comes next meets it too, unless it is this statement's own.
                log.warning("appending by several statements instead of one: %s", error)
                session.row_types = [None, None]
            if driver.in_transaction:
                raise  # It was a caller's transaction, which has failed with it.
            return False
        found = cursor.fetchone()
        if found is None:
            return False
        session.head_page = page_of(found[0])
        return True


class _Planned(NamedTuple):
    """Appends planned on a head; with the ids of their streams, and their outcomes."""

    head: Head
    plan: Plan
    ids: dict[str, int]
    outcomes: list[Callable[[], Appended] | EventStoreError]


def _is_known(appends: Sequence[Append], cache: StreamCache) -> bool:
    """Whether a group is small, and nothing of it but its streams has to be looked for."""
    few = sum(append.events for append in appends) <= MOST_EVENTS
    if not few or sum(append.size for append in appends) > MOST_BYTES:
        return False
    if cache.head is None or cache.full:
        return False
    events = (event for append in appends for write in append.writes for event in write.events)
    return all(cache.largest < event.raw_id < TEXT_IDS for event in events)


def _plan(
    appends: Sequence[Append], driver: PostgresDriver, cache: StreamCache, now_us: int
) -> _Planned | None:
    """Plan appends on the head that is known; ``None`` where nothing is to be stored."""
    assert cache.head is not None  # noqa: S101 - see _is_known
    names = {write.stream for append in appends for write in append.writes}
    plan = Plan(cache.head, cache.find(driver, names), {}, _never_asked, now_us)
    outcomes = [_decide(plan, append) for append in appends]
    if not plan.changed:
        # A conflict is one at the head that is known, and only what is stored compares that.
        return None
    return _Planned(cache.head, plan, cache.number(plan.changed), outcomes)


def _never_asked(commit: int) -> Appended:
    raise AssertionError(f"an id of the commit at {commit} is stored that is larger than all")


def _decide(plan: Plan, append: Append) -> Callable[[], Appended] | EventStoreError:
    try:
        return plan.add(append)
    except EventStoreError as error:
        return error


def _row_types(session: Session) -> tuple[RowType, RowType] | None:
    """Return the row types of `stream` and `event`, unless their columns are not those known."""
    if not session.schema:
        return None
    if session.row_types is None:
        pairs = (("stream", _STREAM), ("event", _EVENT))
        found = [read_row_type(session, f"{session.schema}.{name}", of) for name, of in pairs]
        session.row_types = found
    stream, event = session.row_types
    return (stream, event) if stream is not None and event is not None else None
