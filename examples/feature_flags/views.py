"""The flags as a table, and who has changed what, to be searched."""

from __future__ import annotations

from flags import CATEGORY, EVENTS, FlagRetired, FlagSet
from sqlalchemy import Boolean, Column, Connection, Integer, MetaData, String, Table, insert

from eventstore import Event
from projections import TableProjection, handles, upsert

flag_tables = MetaData()
flag_table = Table(
    "flag",
    flag_tables,
    Column("name", String, primary_key=True),
    Column("percent", Integer, nullable=False),
    Column("retired", Boolean, nullable=False),
)

audit_tables = MetaData()
audit_table = Table(
    "flag_audit",
    audit_tables,
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("flag", String, nullable=False),
    Column("what", String, nullable=False),
    Column("who", String, nullable=False),
    Column("why", String, nullable=False),
    Column("at", String, nullable=False),
    Column("words", String, nullable=False),
)


def flag_name(event: Event) -> str:
    """Return the flag that an event is about."""
    return event.stream.removeprefix(f"{CATEGORY}/")


class Flags(TableProjection):
    """One row for each flag."""

    name, version, metadata = "flags", 1, flag_tables
    event_types = EVENTS

    @handles(FlagSet)
    def set_(self, connection: Connection, event: Event, data: FlagSet) -> None:
        """Store its percentage."""
        values = {"percent": data.percent, "retired": False}
        upsert(connection, flag_table, {"name": flag_name(event)}, values)

    @handles(FlagRetired)
    def retired(self, connection: Connection, event: Event, data: FlagRetired) -> None:  # noqa: ARG002
        """Store that it is off for good."""
        values = {"percent": 0, "retired": True}
        upsert(connection, flag_table, {"name": flag_name(event)}, values)


class Audit(TableProjection):
    """One row for each change, with its words in lower case."""

    name, version, metadata = "flag-audit", 1, audit_tables
    event_types = EVENTS

    @handles(FlagSet)
    def set_(self, connection: Connection, event: Event, data: FlagSet) -> None:
        """Add a change."""
        self._add(connection, event, f"set to {data.percent} %", data.by, data.why)

    @handles(FlagRetired)
    def retired(self, connection: Connection, event: Event, data: FlagRetired) -> None:
        """Add a retirement."""
        self._add(connection, event, "retired", data.by, data.why)

    def _add(self, connection: Connection, event: Event, what: str, who: str, why: str) -> None:
        flag = flag_name(event)
        connection.execute(
            insert(audit_table).values(
                position=event.position,
                flag=flag,
                what=what,
                who=who,
                why=why,
                at=event.recorded_at.isoformat(),
                words=" ".join([flag, what, who, why]).lower(),
            )
        )
