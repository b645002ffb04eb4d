"""The log's tables, the same on every SQL backend, and the rules they keep themselves.

``stream`` interns names and holds each stream's current version, so that checking an
expected version is one lookup. ``event`` is the log. ``head`` has exactly one row, which
every append takes first: positions are therefore given out in commit order and a
rollback leaves no hole. ``consumer`` remembers named followers.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    DDL,
    CheckConstraint,
    Column,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    UniqueConstraint,
    event,
)
from sqlalchemy.types import BigInteger

from eventstore.errors import StorageError

SCHEMA_VERSION: Final = 1
"""Written into the head row; a program that meets a newer one stops and says so."""

metadata = MetaData()

# SQLite makes a table's key its row number only if the type is spelled INTEGER.
_Position = BigInteger().with_variant(Integer(), "sqlite")

head_table = Table(
    "head",
    metadata,
    Column("one", SmallInteger, primary_key=True, autoincrement=False),
    Column("schema_version", Integer, nullable=False),
    Column("log_id", String, nullable=False),
    Column("first_position", BigInteger, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("recorded_us", BigInteger, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    CheckConstraint("one = 1", name="head_has_one_row"),
)

stream_table = Table(
    "stream",
    metadata,
    Column("id", _Position, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("version", BigInteger, nullable=False),
)

event_table = Table(
    "event",
    metadata,
    Column("position", _Position, primary_key=True, autoincrement=False),
    Column("stream_id", _Position, ForeignKey("stream.id"), nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("id", LargeBinary, nullable=False, unique=True),
    Column("type", String, nullable=False),
    Column("commit_position", BigInteger, nullable=False),
    Column("content", SmallInteger, nullable=False),
    Column("data", LargeBinary),
    Column("metadata", LargeBinary),
    Column("recorded_us", BigInteger, nullable=False),
    Column("salt", LargeBinary),
    Column("digest", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    UniqueConstraint("stream_id", "version", name="event_stream_version"),
    # Redaction takes data, metadata and salt together, or nothing.
    CheckConstraint(
        "(data IS NULL) = (salt IS NULL) AND (data IS NULL) = (metadata IS NULL)",
        name="event_redacted_whole",
    ),
)

consumer_table = Table(
    "consumer",
    metadata,
    Column("name", String, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    # Rises with each opening: an acknowledgement under an older epoch has lost the name.
    Column("epoch", BigInteger, nullable=False),
    Column("owner", String, nullable=False),
    Column("seen_us", BigInteger, nullable=False),
)

_SQLITE_RULES = (
    # Redaction erases content and keeps the rest; everything else about an event stays.
    """CREATE TRIGGER event_immutable BEFORE UPDATE ON event
    WHEN NOT (NEW.data IS NULL AND NEW.metadata IS NULL AND NEW.salt IS NULL
      AND NEW.position = OLD.position AND NEW.stream_id = OLD.stream_id
      AND NEW.version = OLD.version AND NEW.id = OLD.id AND NEW.type = OLD.type
      AND NEW.commit_position = OLD.commit_position AND NEW.content = OLD.content
      AND NEW.recorded_us = OLD.recorded_us AND NEW.digest = OLD.digest
      AND NEW.hash = OLD.hash)
    BEGIN SELECT RAISE(ABORT, 'events are immutable'); END""",
    # Trimming raises the first position before it deletes what lies below.
    """CREATE TRIGGER event_kept BEFORE DELETE ON event
    WHEN OLD.position >= (SELECT first_position FROM head)
    BEGIN SELECT RAISE(ABORT, 'events are never deleted'); END""",
    # INSERT OR REPLACE fires no delete trigger, so an insert must be past the head and
    # meet no row that its replacing would remove.
    """CREATE TRIGGER event_appended BEFORE INSERT ON event
    WHEN NEW.position <= (SELECT position FROM head)
      OR EXISTS (SELECT 1 FROM event WHERE id = NEW.id)
      OR EXISTS (SELECT 1 FROM event WHERE stream_id = NEW.stream_id AND version = NEW.version)
    BEGIN SELECT RAISE(ABORT, 'events are only appended'); END""",
    """CREATE TRIGGER head_forward BEFORE UPDATE ON head
    WHEN NEW.position < OLD.position OR NEW.log_id <> OLD.log_id
      OR NEW.first_position < OLD.first_position
    BEGIN SELECT RAISE(ABORT, 'the head only moves forward'); END""",
    """CREATE TRIGGER head_once BEFORE INSERT ON head WHEN EXISTS (SELECT 1 FROM head)
    BEGIN SELECT RAISE(ABORT, 'there is one head'); END""",
    # A stream's name is part of its events.
    """CREATE TRIGGER stream_named BEFORE UPDATE ON stream
    WHEN NEW.id <> OLD.id OR NEW.name <> OLD.name OR NEW.version < OLD.version
    BEGIN SELECT RAISE(ABORT, 'streams keep their names'); END""",
    """CREATE TRIGGER stream_kept BEFORE DELETE ON stream
    BEGIN SELECT RAISE(ABORT, 'streams are never deleted'); END""",
    """CREATE TRIGGER stream_new BEFORE INSERT ON stream
    WHEN EXISTS (SELECT 1 FROM stream WHERE id = NEW.id OR name = NEW.name)
    BEGIN SELECT RAISE(ABORT, 'streams are only added'); END""",
    """CREATE TRIGGER head_kept BEFORE DELETE ON head
    BEGIN SELECT RAISE(ABORT, 'the head is never deleted'); END""",
)

for _rule in _SQLITE_RULES:
    _ddl: Any = DDL  # its constructor carries no annotations
    event.listen(metadata, "after_create", _ddl(_rule).execute_if(dialect="sqlite"))


def check_version(row: tuple[int, ...] | None, where: str) -> None:
    """Raise StorageError where the database was written by a newer program."""
    if row is not None and row[0] > SCHEMA_VERSION:
        raise StorageError(
            where,
            f"its schema is version {row[0]}, this program knows {SCHEMA_VERSION}: "
            "upgrade the program before you open it",
        )
