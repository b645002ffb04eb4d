"""Replay: computing the users' tables from the log."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from eventstore.errors import CorruptEventError
from eventstore.log.operations import Query
from eventstore.storage.kept_views import check_start
from eventstore.storage.pages import read_page
from eventstore.storage.reading import read_head
from projections.sql._identifiers import CAPTURE, LATER_RESERVED
from projections.sql.events import SCHEMA_CHANGED, STREAM, ChangeReader, read_schema
from projections.sql.model import ReplayError, ReservedNameError, SqlRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from eventstore import Event
    from eventstore.storage.user_transaction import UserTransaction
    from projections.sql._schema import Schema
    from projections.sql._target_table import TargetTable
    from projections.sql.events import SchemaChange
    from projections.sql.model import Change, RowValues


class _EventChanges(NamedTuple):
    """The row changes of one event, and its position."""

    position: int
    changes: Sequence[Change]


@contextmanager
def replay_errors(position: int, driver: type[Exception] = LookupError) -> Iterator[None]:
    """Turn what an event makes fail, the driver's errors too, into ReplayError with its position.

    Where a name is the reason that version 0.1.0 left to programs, it is a ReservedNameError.
    """
    try:
        yield
    except (driver, LookupError, SqlRefusedError, CorruptEventError) as error:
        name = error.name.lower() if isinstance(error, SqlRefusedError) else ""
        if name in LATER_RESERVED or name.startswith(CAPTURE):
            raise ReservedNameError(position, name) from error
        raise ReplayError(position, " ".join(str(error).split())) from error


class Replay(ABC):
    """Applies events to the tables on one connection, in the caller's transaction.

    The users' triggers do not run: the row changes that they made are recorded.

    Of the names that version 0.1.0 left to programs, those that nothing else has may be used
    while it runs. Beside a log :meth:`find_taken` says which are not free afterwards.
    """

    dialect: ClassVar[str]
    errors: ClassVar[type[Exception]]
    """The base class of the driver's errors."""
    schema_type: ClassVar[type[Schema[Any]]]
    target_type: ClassVar[type[TargetTable[Any]]]

    def __init__(self, raw: Any) -> None:
        self.raw = raw
        self.occupied: frozenset[str] | None = None
        """Reserved names that are the log's here; found out before the first event."""
        self.tables: list[str] = []
        """The captured tables, as of the last event."""
        self.foreign: frozenset[str] | None = None
        """Tables that were there before the first definition: those of other programs."""
        self._schema = self.schema_type(raw)
        self._taken: dict[str, int] = {}
        self._targets: dict[str, TargetTable[Any]] = {}
        self._suspended: list[str] | None = None
        self._defined: int | None = None
        """The commit of the last definitions: a migration is one commit."""

    def apply(self, events: Sequence[Event]) -> None:
        """Apply whole commits. Raises ReplayError where the tables do not fit."""
        self._reserve_names()
        reader = ChangeReader()
        waiting: list[_EventChanges] = []
        for event in events:
            if event.stream != STREAM:
                continue
            if event.type == SCHEMA_CHANGED and not event.redacted:
                self._change_all(waiting)
                waiting = []
                self.define(event)
                continue
            with replay_errors(event.position, self.errors):
                changes = reader.read(event)
            if changes:
                waiting.append(_EventChanges(event.position, changes))
        self._change_all(waiting)

    def _reserve_names(self) -> None:
        """Find out which names are the log's here, before the first event."""
        if self.occupied is None:
            self.occupied = self._schema.list_later_reserved()
        self._schema.set_own(LATER_RESERVED - self.occupied)

    def find_taken(self, before: Collection[str]) -> list[ReservedNameError]:
        """Return an error for each reserved name that an object has and none had before."""
        found = self._schema.list_later_reserved() - (self.occupied or frozenset())
        errors = (ReservedNameError(self._taken[name], name) for name in found - set(before))
        return sorted(errors, key=lambda error: (error.position, error.name))

    def define(self, event: Event) -> None:
        """Run the definitions of a ``SchemaChanged`` event. Raises ReplayError."""
        self._reserve_names()
        with replay_errors(event.position, self.errors):
            self._define_by(event)

    def _define_by(self, event: Event) -> None:
        change = read_schema(event)
        if change.dialect != self.dialect:
            raise ReplayError(
                event.position,
                f"migration {change.migration!r} is written for {change.dialect}, not for "
                f"{self.dialect}: keep the copy on the same kind of database",
            )
        self.finish()
        self._targets.clear()
        if self.foreign is None:
            known = self._schema.read_uncaptured().union(self.tables)
            self.foreign = frozenset(self._schema.list_tables()) - known
        if event.commit != self._defined:
            self._begin_migration()
            self._defined = event.commit
        self._define(change)
        self.tables = self._check_tables(change)
        names = self._schema.list_later_reserved()
        self._taken = {name: self._taken.get(name, event.position) for name in names}

    def _check_tables(self, change: SchemaChange) -> list[str]:
        """Return the captured tables; raise SqlRefusedError for those of other programs."""
        made = set(self._schema.list_tables()) - (self.foreign or frozenset())
        if others := sorted({*change.tables, *change.uncaptured} - made):
            reason = f"{others[0]!r} is not one of the tables that the migrations make"
            raise SqlRefusedError(change.migration, reason)
        return change.tables

    def _define(self, change: SchemaChange) -> None:
        for statement in change.statements:
            self._execute_recorded(statement)
        self._schema.write_ledger(change.migration, change.checksum, change.applied_at)
        self._schema.write_uncaptured(change.uncaptured)

    def _begin_migration(self) -> None:  # noqa: B027 - most databases need nothing
        """Prepare for the definitions of another migration."""

    def _execute(self, statement: str) -> None:
        self.raw.execute(statement).close()

    @abstractmethod
    def _execute_recorded(self, statement: str) -> None:
        """Execute a definition as an event has it, within what migrations may do.

        Raises SqlRefusedError for one that no migration may have.
        """

    @abstractmethod
    def _suspend(self, tables: Sequence[str]) -> list[str]:
        """Disable the users' triggers on tables; return the statements that enable them again."""

    @contextmanager
    def without_triggers(self, tables: Sequence[str]) -> Iterator[None]:
        """Disable the users' triggers on tables for a while."""
        statements = self._suspend(tables)
        yield
        for statement in statements:
            self._execute(statement)

    def finish(self) -> None:
        """Enable what the replay has disabled."""
        for statement in self._suspended or ():
            self._execute(statement)
        self._suspended = None

    def _change_all(self, steps: Sequence[_EventChanges]) -> None:
        """Apply the changes of several events at once, or one event at a time if that fails."""
        if not steps:
            return
        with replay_errors(steps[0].position, self.errors):
            if self._suspended is None:
                self._suspended = self._suspend(self.tables)
            fits = self._try(change for step in steps for change in step.changes)
        for step in () if fits else steps:
            with replay_errors(step.position, self.errors):
                self._change(step.changes)

    def _try(self, changes: Iterable[Change]) -> bool:
        """Apply changes in order; roll back and return False where one does not fit."""
        self.raw.execute("SAVEPOINT change")
        try:
            fits = all(self._apply_one(one) for one in changes)
        except (self.errors, LookupError):
            fits = False
        if not fits:
            self.raw.execute("ROLLBACK TO change")
        self.raw.execute("RELEASE change")
        return fits

    def _change(self, changes: Sequence[Change]) -> None:
        """Apply one event's changes in order; where one does not fit, only the final rows.

        A cascade or trigger that changes a row while that row is being changed is captured
        before it, and then the order of the changes does not fit the tables.
        """
        if not self._try(changes):
            self._put_final(changes)

    def _apply_one(self, change: Change) -> bool:
        target = self._checked_target(change)
        if change.old is None:
            target.insert(change.new or {})
            return True
        key = target.key_of(change.old)
        return target.delete(key) if change.new is None else target.update(key, change.new)

    def _put_final(self, changes: Sequence[Change]) -> None:
        final: dict[tuple[Any, ...], tuple[str, RowValues | None]] = {}
        for change in changes:
            target = self._checked_target(change)
            final[change.table, *target.key_of(change.old or change.new or {})] = change.table, None
            if change.new is not None:
                final[change.table, *target.key_of(change.new)] = change.table, change.new
        for (_, *key), (name, _) in final.items():
            self._target(name).delete(key)
        for name, row in final.values():
            if row is not None:
                self._target(name).insert(row)

    def check(self, change: Change) -> None:
        """Raise LookupError for a change of other columns than its table has."""
        self._checked_target(change)

    def _checked_target(self, change: Change) -> TargetTable[Any]:
        target = self._target(change.table)
        for row in (change.old, change.new):
            if row is not None:
                target.check(row)
        return target

    def _target(self, name: str) -> TargetTable[Any]:
        found = self._targets.get(name)
        if found is None:
            if name not in self.tables:
                raise LookupError(f"no migration before it makes the table {name!r}")
            description = self._schema.read_table(name)
            found = self._targets[name] = self.target_type(self.raw, description)
        return found


def replay_log(
    transaction: UserTransaction, replay: Replay, check: Callable[[], None] | None = None
) -> int:
    """Apply the whole log, read in the same transaction; return its last position.

    ``check`` is called before each page; what it raises ends the replay. Raises HistoryGoneError
    where a trim has not kept the tables' events.
    """
    with transaction.reading() as driver:
        found = read_head(driver)
        if found.first_position > 1:
            check_start(driver, found.first_position, "sql")
    at, head = 0, found.position
    while at < head:
        if check is not None:
            check()
        query = Query(after=at, until=head, streams=STREAM, whole_commits=True, kept=True)
        with transaction.reading() as driver:
            page = read_page(driver, query)
        replay.apply(page.events)
        at = page.through.position
    replay.finish()
    return head
