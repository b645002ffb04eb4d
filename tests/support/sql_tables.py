"""What a program's tables hold, to the last bit: in a SQLite file, and computed from its log."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from eventstore import EventStore
from eventstore.storage.catalog import TABLES
from projections.sql import SqlStorage
from projections.sql._dialect import append_rows
from projections.sql.events import ChangeReader
from projections.sql.sqlite.replay import SqliteReplay

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventstore import Event, NewEvent

Tables = dict[str, Any]

PEOPLE = "CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT UNIQUE, note);"
_NOT_USERS = {*TABLES, "log_incarnation", "sql_capture", "sql_capture_copy", "worker_report"}


class _Text(bytes):
    pass


def dump(raw: sqlite3.Connection) -> Tables:
    """Return each table's rows with the type of each value, the definitions, and sequences."""
    raw.text_factory = str
    names = [
        row[0]
        for row in raw.execute("SELECT name FROM pragma_table_list WHERE schema = 'main'")
        if row[0] not in _NOT_USERS and not row[0].startswith("sqlite_")
    ]
    found: Tables = {}
    raw.text_factory = _Text
    try:
        for name in names:
            quoted = '"' + name.replace('"', '""') + '"'
            rows = raw.execute(f"SELECT * FROM {quoted}").fetchall()
            found[name] = sorted([[exact(value) for value in row] for row in rows])
    finally:
        raw.text_factory = str
    # A full-text index counts by what it finds: its own tables may differ.
    return {name: rows for name, rows in found.items() if "_fts_" not in name}


def exact(value: Any) -> tuple[str, str]:
    """Return a value's type and all of its bits."""
    if isinstance(value, float):
        return "real", value.hex()
    return type(value).__name__, repr(value)


def definitions(raw: sqlite3.Connection) -> list[tuple[Any, ...]]:
    """Return the schema without the log's tables and those that capture."""
    rows = raw.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall()
    return sorted(
        (row for row in rows if row[2] not in _NOT_USERS and "sql_capture" not in row[1]),
        key=str,
    )


def file_of(url: str) -> Path:
    """Return the file of a log's URL."""
    return Path(url.removeprefix("sqlite:///"))


def dump_file(path: Path) -> Tables:
    """Return what a database file holds."""
    with closing(sqlite3.connect(path)) as raw:
        return dump(raw)


def read_log(url: str) -> list[Event]:
    """Return all events of a log, kept ones too; also callable where an event loop is running."""

    async def read() -> list[Event]:
        async with EventStore.open(url, notify="none") as store:
            return [event async for event in store.read(kept=True)]

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(anyio.run, read).result()


def trim_log(url: str, share: float, archive: Path) -> None:
    """Trim about that share of what a log has; also callable where an event loop is running."""

    async def trim() -> None:
        async with EventStore.open(url, notify="none") as store:
            head = await store.head()
            count = head.position + 1 - head.first_position
            await store.trim(head.first_position + round(share * count), archive=archive)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(anyio.run, trim).result()


def computed(url: str, ask: Callable[[sqlite3.Connection], Any] = dump) -> Any:
    """Return what a database computed from the log holds."""
    events = read_log(url)
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as raw:
        raw.execute("BEGIN")
        replay = SqliteReplay(raw)
        for commit in sorted({event.commit for event in events}):
            replay.apply([event for event in events if event.commit == commit])
        replay.finish()
        return ask(raw)


def assert_computed(url: str) -> None:
    """Fail unless the log's events make the rows that are in its file."""
    expected, found = dump_file(file_of(url)), computed(url)
    assert found == expected, (found, expected)


def append_unchecked(url: str, *events: NewEvent) -> int:
    """Append to the tables' stream what no connection wrote, as a hostile writer would."""
    with (
        SqlStorage(url, notify="none") as storage,
        closing(storage._open_transaction()) as transaction,
    ):
        transaction.begin()
        appended, _ = append_rows(transaction, events)
        transaction.commit()
    return appended.position


definitions_of = partial(computed, ask=definitions)


class Migrations:
    """A directory of migrations."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir()

    def write(self, name: str, sql: str) -> Path:
        """Write one file, and return the directory."""
        (self.directory / f"{name}.sql").write_text(sql)
        return self.directory


def changes(url: str) -> list[list[tuple[str, str, Any, Any]]]:
    """Return each transaction as (table, op, old row, new row) of its changes."""
    found: dict[int, list[tuple[str, str, Any, Any]]] = {}
    reader = ChangeReader()
    for event in read_log(url):
        for one in reader.read(event):
            old, new = (row and tuple(row.values()) for row in (one.old, one.new))
            found.setdefault(event.commit, []).append((one.table, one.op, old, new))
    return list(found.values())
