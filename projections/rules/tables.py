r"""Rules, their rejections and their states as tables, for whoever asks in SQL.

Free text may hold NUL characters, which a text column of PostgreSQL refuses: columns show
them as ``\u0000``, and the exact values are in the columns of JSON text.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    MetaData,
    Table,
    delete,
    insert,
    or_,
    select,
    update,
)

from eventstore.errors import EventStoreError, InvalidInputError
from projections.rules.events import (
    REJECTION_ENDED,
    RULE_DEFINED,
    RULE_REJECTED,
    RULE_REMOVED,
    RULE_STATE_EXPIRED,
    RULE_STATE_SET,
    RULES,
    SOURCES,
    STATES,
)
from projections.rules.model import decode_rule, decode_state, encode_rule, encode_state
from projections.tables.columns import ByteOrder, ByteOrderText, escape_nul
from projections.tables.projection import TableProjection

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from eventstore.log.events import Event

_tables = MetaData()

rule_table: Final = Table(
    "rule",
    _tables,
    Column("rule_id", ByteOrder, primary_key=True),
    # NULL where the author's number has more than the 63 bits of a database's integer.
    Column("rule_version", BigInteger),
    Column("name", ByteOrderText, nullable=False),
    Column("source", ByteOrderText),
    Column("path", ByteOrderText),
    Column("format", ByteOrderText),
    Column("sha256", ByteOrderText),
    Column("rule", ByteOrderText, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("defined_at", ByteOrder, nullable=False),
)
"""The rules that stand. ``rule`` is the compiled rule as JSON."""

rejection_table: Final = Table(
    "rule_rejection",
    _tables,
    Column("source", ByteOrder, primary_key=True),
    Column("path", ByteOrder, primary_key=True),
    Column("sha256", ByteOrderText, nullable=False),
    Column("reason", ByteOrderText, nullable=False),
    Column("line", BigInteger),
    Column("stands", Boolean, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("rejected_at", ByteOrder, nullable=False),
    Column("ended_position", BigInteger),
)
"""The latest rejection of each file, and whether it ``stands`` or where it ended."""

state_table: Final = Table(
    "rule_state",
    _tables,
    Column("rule_id", ByteOrder, primary_key=True),
    Column("state", ByteOrder, nullable=False),
    Column("confidence_max", Float),
    Column("expires_at", ByteOrder),
    Column("reason", ByteOrderText),
    Column("set_by", ByteOrderText),
    Column("set_at", ByteOrder),
    Column("json", ByteOrderText, nullable=False),
    Column("position", BigInteger, nullable=False),
)
"""The latest state of each rule that ever had one. ``json`` is the state, exactly."""


KEY_BYTES: Final = 1024
"""The longest path that ``rule_rejection`` shows whole, in bytes of UTF-8. Together with the
source's name it is a key, which has to stay below the 2,704 bytes of PostgreSQL's indexes."""


class _Rejection(msgspec.Struct):
    path: str
    sha256: str = ""
    reason: str = ""
    line: Any = None


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
    metadata: ClassVar[MetaData] = _tables
    takes_redacted = True

    def handle(self, connection: Connection, event: Event) -> None:
        """Apply one event."""
        category, _, key = event.stream.partition("/")
        handler = _HANDLERS.get((f"{category}/", event.type))
        if handler is None:
            return
        if event.redacted:
            # A definition or a state without content takes away the one before it.
            for table in _BY_RULE.get(f"{category}/", ()):
                connection.execute(delete(table).where(table.c.rule_id == key))
            return
        try:
            handler(connection, event, key)
        except (EventStoreError, msgspec.ValidationError, KeyError):
            return

    def erase(self, connection: Connection, position: int, stream: str) -> None:
        """Take the row out that the event made; the rule, or its state, is as if removed.

        Where other rows depend on it (an older definition that this one, which nobody could
        use, had left standing; a rejection that it replaced or ended) all is computed anew.
        """
        category, _, key = stream.partition("/")
        for table in _BY_RULE.get(f"{category}/", ()):
            row = connection.execute(
                select(table.c.position).where(table.c.rule_id == key)
            ).scalar_one_or_none()
            if row == position:
                connection.execute(delete(table).where(table.c.rule_id == key))
            elif row is not None and row < position:
                self.reset(connection)
        c = rejection_table.c
        touched = or_(c.position == position, c.ended_position == position)
        if connection.execute(select(c.position).where(touched)).first() is not None:
            self.reset(connection)


def _define(connection: Connection, event: Event, rule_id: str) -> None:
    data = _data(event)
    rule = decode_rule(data["rule"])
    row = {column: _text(data.get(column)) for column in ("source", "path", "format", "sha256")}
    _remove(connection, event, rule_id)
    connection.execute(
        insert(rule_table).values(
            rule_id=rule_id,
            rule_version=_integer(rule.rule_version),
            name=escape_nul(rule.name),
            rule=_json(encode_rule(rule)),
            position=event.position,
            defined_at=event.recorded_at.isoformat(),
            **row,
        )
    )


def _remove(connection: Connection, _: Event, rule_id: str) -> None:
    connection.execute(delete(rule_table).where(rule_table.c.rule_id == rule_id))


def _reject(connection: Connection, event: Event, source: str) -> None:
    found = msgspec.convert(_data(event), _Rejection)
    c, path = rejection_table.c, _key(found.path)
    connection.execute(delete(rejection_table).where(c.source == source, c.path == path))
    connection.execute(
        insert(rejection_table).values(
            source=source,
            path=path,
            sha256=escape_nul(found.sha256),
            reason=escape_nul(found.reason),
            line=_integer(found.line),
            stands=True,
            position=event.position,
            rejected_at=event.recorded_at.isoformat(),
        )
    )


def _end_rejection(connection: Connection, event: Event, source: str) -> None:
    path = _key(msgspec.convert(_data(event), _Rejection).path)
    c = rejection_table.c
    connection.execute(
        update(rejection_table)
        .where(c.source == source, c.path == path, c.stands)
        .values(stands=False, ended_position=event.position)
    )


def _set_state(connection: Connection, event: Event, rule_id: str) -> None:
    state = decode_state(_data(event)["state"])
    values = encode_state(state)
    exact = _json(values)
    limit = None if state.confidence_max is None else float(state.confidence_max)
    values |= {name: _text(values[name]) for name in ("reason", "set_by")}
    connection.execute(delete(state_table).where(state_table.c.rule_id == rule_id))
    connection.execute(
        insert(state_table).values(
            {
                **values,
                "rule_id": rule_id,
                "confidence_max": limit,
                "json": exact,
                "position": event.position,
            }
        )
    )


_BY_RULE: Final = {RULES: (rule_table,), STATES: (state_table,)}

_HANDLERS: Final = {
    (RULES, RULE_DEFINED): _define,
    (RULES, RULE_REMOVED): _remove,
    (SOURCES, RULE_REJECTED): _reject,
    (SOURCES, REJECTION_ENDED): _end_rejection,
    (STATES, RULE_STATE_SET): _set_state,
    (STATES, RULE_STATE_EXPIRED): _set_state,
}


def rejected_path(event: Event) -> str | None:
    """Return the file that a rejection, or its end, is about; ``None`` where it says none."""
    try:
        return msgspec.convert(_data(event), _Rejection).path
    except (EventStoreError, msgspec.ValidationError):
        return None


def _data(event: Event) -> dict[str, Any]:
    data = event.data
    if not isinstance(data, dict):
        raise InvalidInputError(f"event {event.position}", "its data is no object")
    return data


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _key(path: str) -> str:
    """Return a path as a key; a very long one ends in its hash."""
    key = escape_nul(path)
    if len(raw := key.encode()) <= KEY_BYTES:
        return key
    return f"{raw[: KEY_BYTES - 70].decode(errors='ignore')}…{sha256(raw).hexdigest()}"


def _text(value: object) -> str | None:
    return escape_nul(value) if isinstance(value, str) else None


def _integer(value: object) -> int | None:
    fits = isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63
    return value if fits and isinstance(value, int) else None
