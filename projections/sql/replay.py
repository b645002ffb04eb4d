"""Computing the callers' tables from the log, on whatever database."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from eventstore.backends.reading import read_head, read_page
from eventstore.ports import Query
from projections.sql.events import SCHEMA_CHANGED, STREAM, ChangeReader, read_schema
from projections.sql.model import ReplayError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from eventstore import Event
    from eventstore.backends.guests import Guest
    from projections.sql.events import SchemaChange
    from projections.sql.model import Change


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
    misfits: ClassVar[type[Exception]]
    """What a change raises that does not fit the rows that are there."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw
        self.tables: list[str] = []
        """The captured tables, as of the last event."""
        self._targets: dict[str, Target] = {}

    def apply(self, events: Sequence[Event]) -> None:
        """Apply whole commits. Raises ReplayError where the tables do not fit."""
        reader = ChangeReader()
        for event in events:
            if event.stream != STREAM:
                continue
            try:
                if event.type == SCHEMA_CHANGED and not event.redacted:
                    self._define_by(event)
                elif changes := reader.read(event):
                    self._change(changes)
            except self.errors as error:
                raise ReplayError(event.position, " ".join(str(error).split())) from error

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

    def _change(self, changes: Sequence[Change]) -> None:
        """Apply changes one by one as they were made; all at once where that does not fit.

        A trigger or cascade that changes a row in the midst of its own change is recorded before
        it. What counts then is the row that each key had in the end.
        """
        self.set_aside()
        self.raw.execute("SAVEPOINT change")
        try:
            fits = all(self._apply_one(one) for one in changes)
        except self.misfits:
            fits = False
        if not fits:
            self.raw.execute("ROLLBACK TO change")
            self._put_final(changes)
        self.raw.execute("RELEASE change")

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
            found = self._targets[name] = self.target(name)
        return found


def replay_log(guest: Guest, replay: Replay) -> int:
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
