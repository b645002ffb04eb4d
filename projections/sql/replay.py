"""Computing the callers' tables from the log, on whatever database."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

from eventstore.log.operations import Query
from eventstore.storage.reading import read_head, read_page
from projections.sql.events import SCHEMA_CHANGED, STREAM, ChangeReader, read_schema
from projections.sql.model import ReplayError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from eventstore import Event
    from eventstore.storage.user_transaction import UserTransaction
    from projections.sql.events import SchemaChange
    from projections.sql.model import Change


class _Step(NamedTuple):
    """What one transaction changed; ``position`` is that of its last event."""

    position: int
    changes: Sequence[Change]


class Target(Protocol):
    """One table of the database that is filled."""

    def key_of(self, row: Mapping[str, Any]) -> list[Any]:
        """Return a row's primary key."""

    def insert(self, row: Mapping[str, Any]) -> None:
        """Put a row in."""

    def update(self, key: Sequence[Any], row: Mapping[str, Any]) -> bool:
        """Make the row with that key another one; return whether there was one."""

    def delete(self, key: Sequence[Any]) -> bool:
        """Take the row with that key out; return whether there was one."""


class Replay(ABC):
    """Applies events to the tables on one connection, in the caller's transaction.

    The users' triggers do not run: what they did is recorded as changes of rows.
    """

    dialect: ClassVar[str]
    errors: ClassVar[type[Exception]]
    """What the database's driver raises."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw
        self.tables: list[str] = []
        """The captured tables, as of the last event."""
        self._targets: dict[str, Target] = {}

    def apply(self, events: Sequence[Event]) -> None:
        """Apply whole commits. Raises ReplayError where the tables do not fit."""
        reader = ChangeReader()
        waiting: list[_Step] = []
        for event in events:
            if event.stream != STREAM:
                continue
            if event.type == SCHEMA_CHANGED and not event.redacted:
                self._change_all(waiting)
                waiting = []
                with self._blaming(event.position):
                    self._define_by(event)
            elif changes := reader.read(event):
                waiting.append(_Step(event.position, changes))
        self._change_all(waiting)

    @contextmanager
    def _blaming(self, position: int) -> Iterator[None]:
        """Say which event the database's complaint is about."""
        try:
            yield
        except (self.errors, LookupError) as error:
            raise ReplayError(position, " ".join(str(error).split())) from error

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
        self.define(change)
        self.tables = change.tables

    @abstractmethod
    def define(self, change: SchemaChange) -> None:
        """Execute a migration's statements, and note it in the ledger."""

    @abstractmethod
    def set_aside(self) -> None:
        """Let no trigger and no foreign key act, until :meth:`finish`."""

    @abstractmethod
    def finish(self) -> None:
        """Put what was set aside back in its place."""

    @abstractmethod
    def target(self, name: str) -> Target:
        """Return what changes the rows of a table."""

    def _change_all(self, steps: Sequence[_Step]) -> None:
        """Apply several transactions' changes at once, or where that fails one after the other."""
        if not steps:
            return
        with self._blaming(steps[0].position):
            self.set_aside()
            fits = self._try(change for step in steps for change in step.changes)
        for step in () if fits else steps:
            with self._blaming(step.position):
                self._change(step.changes)

    def _try(self, changes: Iterable[Change]) -> bool:
        """Apply changes one by one as they were made; leave nothing where one does not fit."""
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
        """Apply one transaction's changes, all at once where one after the other does not fit.

        A trigger or cascade that changes a row in the midst of its own change is recorded before
        it. What counts then is the row that each key had in the end.
        """
        if not self._try(changes):
            self._put_final(changes)

    def _apply_one(self, change: Change) -> bool:
        target = self._target(change.table)
        if change.old is None:
            target.insert(change.new or {})
            return True
        key = target.key_of(change.old)
        return target.delete(key) if change.new is None else target.update(key, change.new)

    def _put_final(self, changes: Sequence[Change]) -> None:
        final: dict[tuple[Any, ...], tuple[str, Mapping[str, Any] | None]] = {}
        for change in changes:
            target = self._target(change.table)
            final[change.table, *target.key_of(change.old or change.new or {})] = change.table, None
            if change.new is not None:
                final[change.table, *target.key_of(change.new)] = change.table, change.new
        for (_, *key), (name, _) in final.items():
            self._target(name).delete(key)
        for name, row in final.values():
            if row is not None:
                self._target(name).insert(row)

    def _target(self, name: str) -> Target:
        found = self._targets.get(name)
        if found is None:
            if name not in self.tables:
                raise LookupError(f"no migration before it makes the table {name!r}")
            found = self._targets[name] = self.target(name)
        return found


def replay_log(guest: UserTransaction, replay: Replay) -> int:
    """Apply the whole log, read in the guest's transaction; return its last position."""
    with guest.reading() as driver:
        head = read_head(driver).position
    at = 0
    while at < head:
        query = Query(after=at, until=head, streams=STREAM, whole_commits=True)
        with guest.reading() as driver:
            page = read_page(driver, query)
        replay.apply(page.events)
        at = page.through.position
    replay.finish()
    return head
