r"""Rules, their rejections and their states as tables, to be queried in SQL.

Free text may hold NUL characters, which a text column of PostgreSQL refuses: columns show
them as ``\u0000``, and the exact values are in the columns of JSON text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias

from sqlalchemy import (
    BigInteger,
    Boolean,
    Float,
    MetaData,
    Table,
    bindparam,
    delete,
    or_,
    select,
    update,
)

from projections.rules.events import RULES, SOURCES, STATES
from projections.rules.fold import (
    Defined,
    Rejected,
    RejectionEnded,
    Removed,
    SourceRenamed,
    StateErased,
    StateSet,
    read_event,
)
from projections.rules.last_good import last_good_of
from projections.rules.model import RuleState, encode_rule, encode_state
from projections.tables.columns import (
    ByteOrder,
    ByteOrderText,
    escape_nul,
    json_text,
    keys,
    optional,
    required,
    short_key,
)
from projections.tables.projection import TableProjection
from projections.tables.upsert import Upsert

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from eventstore.log.events import Event

_tables = MetaData()

Row: TypeAlias = dict[str, Any]

rule_table: Final = Table(
    "rule",
    _tables,
    *keys(ByteOrder, "rule_id"),
    # NULL where the author's number has more than the 63 bits of a database's integer.
    *optional(BigInteger, "rule_version"),
    *required(ByteOrderText, "name"),
    *optional(ByteOrderText, "source", "path", "format", "sha256"),
    *required(ByteOrderText, "rule"),
    *required(BigInteger, "position"),
    *required(ByteOrder, "defined_at"),
)
"""The rules that stand. ``rule`` is the compiled rule as JSON."""

rejection_table: Final = Table(
    "rule_rejection",
    _tables,
    *keys(ByteOrder, "source", "path"),
    *required(ByteOrderText, "sha256", "reason"),
    *optional(BigInteger, "line"),
    *required(Boolean, "stands"),
    *required(BigInteger, "position"),
    *required(ByteOrder, "rejected_at"),
    *optional(BigInteger, "ended_position"),
)
"""The latest rejection of each file, and whether it ``stands`` or where it ended."""

state_table: Final = Table(
    "rule_state",
    _tables,
    *keys(ByteOrder, "rule_id"),
    *required(ByteOrder, "state"),
    *optional(Float, "confidence_max"),
    *optional(ByteOrder, "expires_at"),
    *optional(ByteOrderText, "reason", "set_by"),
    *optional(ByteOrder, "set_at"),
    *required(ByteOrderText, "json"),
    *required(BigInteger, "position"),
)
"""The latest state of each rule that ever had one. ``json`` is the state, exactly."""


KEY_BYTES: Final = 1024
"""The longest path that ``rule_rejection`` shows whole, in bytes of UTF-8. Together with the
source's name it is a key, which has to stay below the 2,704 bytes of PostgreSQL's indexes."""


class RuleTables(TableProjection):
    """The tables ``rule``, ``rule_rejection`` and ``rule_state``, as the log says.

    Inline with ``EventStore.open(url, inline=[RuleTables()])``, followed in another database
    with ``RuleTables().at(url)``. An event that is not what a master or an operator writes
    is passed over, as :class:`~projections.rules.RuleStore` does, and the last good state
    stays. Tables know no clock: a state past its ``expires_at`` stands here until the event
    that ends it. Times are ISO 8601 in UTC.
    """

    name = "rules"
    from_snapshot = True
    batch_events = 65_536
    metadata: ClassVar[MetaData] = _tables
    takes_redacted = True

    def group(self, event: Event) -> str | None:
        """Apply definitions, removals and states that follow one another together."""
        return "standing" if event.stream.startswith(_STANDING) else None

    def handle_group(self, connection: Connection, events: Sequence[Event]) -> None:
        """Apply of each rule, and of each state, the last event alone that can be used."""
        defined, removed, set_, erased = [], [], [], []
        for event, says in last_good_of(events).values():
            match says:
                case Defined():
                    defined.append(_rule_row(event, says))
                case Removed(rule_id):
                    removed.append(rule_id)
                case StateSet():
                    set_.append(_state_row(event, says))
                case StateErased(rule_id):
                    erased.append(rule_id)
        _store(connection, _UPSERT_RULE, defined)
        _store(connection, _UPSERT_STATE, set_)
        _delete(connection, rule_table, removed)
        _delete(connection, state_table, erased)

    def handle(self, connection: Connection, event: Event) -> None:
        """Apply one event."""
        match read_event(event):
            case Defined() as rule:
                _store(connection, _UPSERT_RULE, [_rule_row(event, rule)])
            case Removed(rule_id):
                _delete(connection, rule_table, [rule_id])
            case StateSet() as change:
                _store(connection, _UPSERT_STATE, [_state_row(event, change)])
            case StateErased(rule_id):
                _delete(connection, state_table, [rule_id])
            case Rejected() as rejection:
                _reject(connection, event, rejection)
            case RejectionEnded() as end:
                _end_rejection(connection, event, end)
            case SourceRenamed() as renamed:
                _rename_source(connection, renamed)

    def erase(self, connection: Connection, position: int, stream: str) -> None:
        """Remove the row that the event made: the rule, or its state, is as if removed.

        All is computed again where that is not enough: an event that could not be used, and
        that may count as a removal now, had left an older row standing; or a rejection was
        replaced or ended by the event.
        """
        category, _, key = stream.partition("/")
        if (table := _BY_RULE.get(f"{category}/")) is not None:
            row = connection.execute(
                select(table.c.position).where(table.c.rule_id == key)
            ).scalar_one_or_none()
            if row == position:
                _delete(connection, table, [key])
            elif row is not None and row < position:
                self.reset(connection)
        c = rejection_table.c
        touched = or_(c.position == position, c.ended_position == position)
        found = connection.execute(select(c.position).where(touched)).first() is not None
        # Without a row of its own, an event of a source may have renamed it, with all its rows.
        if found or stream.startswith(SOURCES):
            self.reset(connection)


_UPSERT_RULE: Final = Upsert(rule_table, ["rule_id"])
_UPSERT_REJECTION: Final = Upsert(rejection_table, ["source", "path"])
_UPSERT_STATE: Final = Upsert(state_table, ["rule_id"])


_NO_STATE: Final = RuleState()


def _rule_row(event: Event, rule: Defined) -> Row:
    compiled = rule.compiled(_NO_STATE)
    return {
        "rule_id": rule.rule_id,
        "rule_version": _integer(compiled.rule_version),
        "name": escape_nul(compiled.name),
        "source": _text(rule.source),
        "path": _text(rule.path),
        "format": _text(rule.format),
        "sha256": _text(rule.sha256),
        "rule": json_text(encode_rule(compiled)),
        "position": event.position,
        "defined_at": event.recorded_at.isoformat(),
    }


def _store(connection: Connection, upsert: Upsert, rows: Sequence[Row]) -> None:
    if rows:
        upsert.execute_plain(connection, rows)


def _delete(connection: Connection, table: Table, rule_ids: Sequence[str]) -> None:
    if rule_ids:
        statement = delete(table).where(table.c.rule_id == bindparam("key"))
        connection.execute(statement, [{"key": rule_id} for rule_id in rule_ids])


def _reject(connection: Connection, event: Event, rejection: Rejected) -> None:
    row = {
        "source": rejection.source,
        "path": _key(rejection.path),
        "sha256": escape_nul(rejection.sha256),
        "reason": escape_nul(rejection.reason),
        "line": _integer(rejection.line),
        "stands": True,
        "position": event.position,
        "rejected_at": event.recorded_at.isoformat(),
        "ended_position": None,
    }
    _UPSERT_REJECTION.execute(connection, row)


def _end_rejection(connection: Connection, event: Event, end: RejectionEnded) -> None:
    c = rejection_table.c
    connection.execute(
        update(rejection_table)
        .where(c.source == end.source, c.path == _key(end.path), c.stands)
        .values(stands=False, ended_position=event.position)
    )


def _rename_source(connection: Connection, renamed: SourceRenamed) -> None:
    rules, rejections = rule_table.c, rejection_table.c
    old, new = renamed.source, renamed.to
    connection.execute(update(rule_table).where(rules.source == old).values(source=new))
    moved = select(rejections.path).where(rejections.source == old).scalar_subquery()
    connection.execute(
        delete(rejection_table).where(rejections.source == new, rejections.path.in_(moved))
    )
    connection.execute(update(rejection_table).where(rejections.source == old).values(source=new))


def _state_row(event: Event, change: StateSet) -> Row:
    state = change.state
    values = encode_state(state)
    return {
        **values,
        "reason": _text(values["reason"]),
        "set_by": _text(values["set_by"]),
        "rule_id": change.rule_id,
        "confidence_max": None if state.confidence_max is None else float(state.confidence_max),
        "json": json_text(values),
        "position": event.position,
    }


_BY_RULE: Final = {RULES: rule_table, STATES: state_table}
_STANDING: Final = (RULES, STATES)
"""Categories of events of which the last good one of each stream is in force."""


def _key(path: str) -> str:
    """Return a path as a key; a very long one ends in its hash."""
    return short_key(escape_nul(path), KEY_BYTES, KEY_BYTES - 70)


def _text(value: object) -> str | None:
    return escape_nul(value) if isinstance(value, str) else None


def _integer(value: object) -> int | None:
    fits = isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63
    return value if fits and isinstance(value, int) else None
