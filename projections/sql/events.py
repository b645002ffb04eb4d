"""Row changes and schema changes as events, and back; values are exact.

``RowsChanged`` holds a transaction's row changes in order, ``SchemaChanged`` the statements by
which a migration changed the schema. Both are JSON. A value that JSON has no type for is an object
with one member: ``{"$blob": base64}``, ``{"$text": base64}`` for a text that is not UTF-8,
``{"$real": "inf"}``.

The changes of a transaction that does nothing but insert many rows are written without repeating
names, as :mod:`projections.sql._compact` says.

A transaction is one event. The changes of one larger than :data:`PART_BYTES` are split over
several events of the same commit, ``part`` counting from 1. A value over :data:`LARGE_BYTES` is
in ``RowValue`` events of its own, before the event that refers to them by their ids (``{"$large":
[id, …], "kind": "blob"}``).
"""

from __future__ import annotations

import math
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias, TypeVar

import msgspec

from eventstore import NewEvent
from eventstore.errors import CorruptEventError
from eventstore.log.events import BYTES_CONTENT
from projections.sql._compact import NOT_FOR_0_1_0, CompactTable, read_compact
from projections.sql.model import Change, Op, RawText

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from eventstore import Event

_DataT = TypeVar("_DataT")

CATEGORY: Final = "sql/"
STREAM: Final = f"{CATEGORY}main"
ROWS_CHANGED: Final = "RowsChanged"
SCHEMA_CHANGED: Final = "SchemaChanged"
ROW_VALUE: Final = "RowValue"

PART_BYTES: Final = 2 * 1024 * 1024
"""Approximate size of one event: far below the log's limit, and cheap to decode at once."""

LARGE_BYTES: Final = 1024 * 1024
"""The largest value that is stored within ``RowsChanged``."""

SMALL_BYTES: Final = 256
"""The same in a row whose other values exceed :data:`PART_BYTES`."""

CHUNK_BYTES: Final = 8 * 1024 * 1024
"""The size of a ``RowValue``."""


class SchemaChange(msgspec.Struct, frozen=True, omit_defaults=True):
    """Consecutive definitions of a migration: those between two of its changes of rows."""

    migration: str
    checksum: str
    dialect: str
    applied_at: str
    statements: list[str]
    tables: list[str]
    """The captured tables afterwards."""
    uncaptured: list[str] = []
    """Those that are declared not to be, afterwards."""


def schema_event(change: SchemaChange) -> NewEvent:
    """Return the event of a schema change."""
    return NewEvent(SCHEMA_CHANGED, msgspec.to_builtins(change))


def read_schema(event: Event) -> SchemaChange:
    """Return the schema change of an event; raise CorruptEventError for one that has none."""
    return _decode(event, _SCHEMA)


Integer: TypeAlias = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Encoded: TypeAlias = "Integer | float | str | bool | dict[str, str | list[str]] | None"
"""A value as JSON has it: a dict has one of the members that the module's description names."""


class _EncodedChange(msgspec.Struct):
    table: str
    op: Op
    key: dict[str, Encoded]
    old: dict[str, Encoded] | None
    new: dict[str, Encoded] | None

    def __post_init__(self) -> None:
        rows = (self.old is not None, self.new is not None)
        if rows != _ROWS_OF[self.op]:
            raise ValueError(f"{self.op} of a row with other rows than it has")


class _RowsData(msgspec.Struct):
    changes: list[_EncodedChange] | None = None
    tables: list[CompactTable] | None = None
    rows: list[list[Encoded]] | None = None

    def __post_init__(self) -> None:
        given = self.tables is not None, self.rows is not None
        if given == (True, True):
            if self.changes is not None and msgspec.to_builtins(self.changes) != [NOT_FOR_0_1_0]:
                raise ValueError("changes beside rows")
        elif any(given) or self.changes is None:
            raise ValueError("either changes, or tables and rows")


_ROWS_OF: Final[dict[Op, tuple[bool, bool]]] = {
    "insert": (False, True),
    "update": (True, True),
    "delete": (True, False),
}
_SCHEMA: Final = msgspec.json.Decoder(SchemaChange)
_ROWS: Final = msgspec.json.Decoder(_RowsData)


def _decode(event: Event, decoder: msgspec.json.Decoder[_DataT]) -> _DataT:
    # An import may bring any event: nothing about its shape is taken for granted.
    if event.raw_data is None or event.content == BYTES_CONTENT:
        raise CorruptEventError("log", event.position, f"{event.type} with data that is no JSON")
    try:
        return decoder.decode(event.raw_data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise CorruptEventError("log", event.position, f"{event.type}: {error}") from error


def rows_events(changes: Iterable[Change]) -> list[NewEvent]:
    """Return the events of a transaction's changes; an empty list for no changes."""
    events: list[NewEvent] = []
    part: list[Any] = []
    size = number = 0
    encoder = _Encoder(events)
    for change in changes:
        part.append(encoder.change(change))
        size += encoder.take_size()
        if size >= PART_BYTES:
            number += 1
            events.append(_rows_event(part, number))
            part, size = [], 0
    if part:
        events.append(_rows_event(part, number + 1))
    return events


def _rows_event(changes: list[Any], number: int) -> NewEvent:
    return NewEvent(ROWS_CHANGED, {"part": number, "changes": changes})


class _Encoder:
    """Encodes row changes, and appends the events of large values to a list."""

    def __init__(self, events: list[NewEvent]) -> None:
        self._events = events
        self._size = 0

    def take_size(self) -> int:
        """Return about how many bytes were encoded since the last call."""
        size, self._size = self._size, 0
        return size

    def change(self, change: Change) -> dict[str, Any]:
        self._size += 64 + len(change.table)
        return {
            "table": change.table,
            "op": change.op,
            "key": self._row(change.key),
            "old": self._row(change.old),
            "new": self._row(change.new),
        }

    def _row(self, row: Mapping[str, Any] | None) -> dict[str, Any] | None:
        if row is None:
            return None
        self._size += sum(map(len, row)) + 16 * len(row)
        return {name: self._value(value) for name, value in row.items()}

    def _value(self, value: Any) -> Any:
        if isinstance(value, str | bytes):
            return self._text_or_bytes(value)
        if isinstance(value, float) and not math.isfinite(value):
            return {"$real": repr(value)}
        return value

    def _text_or_bytes(self, value: str | bytes) -> Any:
        kind = "blob"
        if isinstance(value, RawText):
            try:
                value = value.decode()
            except UnicodeDecodeError:
                kind = "text"
        # Many medium-sized columns together could exceed the log's limit as well.
        limit = LARGE_BYTES if self._size < PART_BYTES else SMALL_BYTES
        if isinstance(value, str):
            if len(value) <= limit:
                # JSON writes a control character in six bytes.
                plain = value.isascii() and value.isprintable()
                self._size += len(value) if plain else len(msgspec.json.encode(value))
                return value
            kind, value = "text", value.encode()
        if len(value) > limit:
            return {"$large": self._pieces(value), "kind": kind}
        self._size += len(value) * 4 // 3
        return {f"${kind}": b64encode(value).decode()}

    def _pieces(self, value: bytes) -> list[str]:
        pieces = [
            NewEvent(ROW_VALUE, bytes(value[start : start + CHUNK_BYTES]))
            for start in range(0, len(value), CHUNK_BYTES)
        ]
        self._events += pieces
        return [piece.id for piece in pieces]


class ChangeReader:
    """Reads events of whole commits, one after another."""

    def __init__(self) -> None:
        self._large: dict[str, bytes] = {}

    def read(self, event: Event) -> list[Change]:
        """Return an event's row changes; an empty list for other types and redacted events.

        Texts are ``str``, or :class:`RawText` where they are not UTF-8. Raises CorruptEventError.
        """
        if event.type == ROW_VALUE and event.raw_data is not None:
            self._large[event.id] = event.raw_data
        if event.type != ROWS_CHANGED or event.redacted:
            return []
        data = _decode(event, _ROWS)
        if data.rows is not None:
            changes = read_compact(event, data.tables or (), data.rows)
        else:
            changes = [_read_change(event, one, self._large) for one in data.changes or ()]
        self._large.clear()
        return changes


def read_rows(events: Iterable[Event]) -> Iterator[Change]:
    """Yield the row changes of whole commits, in order; events of other types have none."""
    reader = ChangeReader()
    for event in events:
        yield from reader.read(event)


def _read_change(event: Event, one: _EncodedChange, large: dict[str, bytes]) -> Change:
    def row(encoded: dict[str, Encoded] | None) -> dict[str, Any] | None:
        if encoded is None:
            return None
        return {
            name: _read_value(value, large) if isinstance(value, dict) else value
            for name, value in encoded.items()
        }

    try:
        return Change(one.table, one.op, row(one.key) or {}, row(one.old), row(one.new))
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptEventError("log", event.position, f"no change of a row: {error!r}") from error


def _read_value(encoded: Mapping[str, Any], large: dict[str, bytes]) -> Any:
    if "$blob" in encoded:
        return b64decode(encoded["$blob"], validate=True)
    if "$real" in encoded:
        return float(encoded["$real"])
    if "$text" in encoded:
        return RawText(b64decode(encoded["$text"], validate=True))
    # Each piece belongs to one value: named again and again it would fill the memory.
    whole = b"".join([large.pop(piece) for piece in encoded["$large"]])
    if encoded["kind"] == "blob":
        return whole
    try:
        return whole.decode()
    except UnicodeDecodeError:
        return RawText(whole)
