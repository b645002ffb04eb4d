"""Verification finds every change to the file, unless the changed bytes are no part of the log."""

from __future__ import annotations

import random
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any, ClassVar, Final

import anyio
import psycopg
import pytest
from sqlalchemy import Connection, MetaData, insert
from support.event_tables import event_table
from support.logs import some
from support.plain import dialect
from support.postgres import shared_server
from support.tamper import COLUMNS, EDITS, superuser

from eventstore import Event, EventStore, NewEvent, StorageError, StreamWrite
from projections import TableProjection

if TYPE_CHECKING:
    from pathlib import Path

TIMES: Final = [
    8,
    pytest.param(40, marks=pytest.mark.slow),
    pytest.param(1_000, marks=pytest.mark.soak),
]

KEPT_BY_NOBODY: Final = {"consumer": {"owner", "epoch", "seen_us"}, "migration": {"applied_us"}}
"""Columns that say how the log is used; no hash covers them."""

seen = event_table("seen")


class Seen(TableProjection):
    """Notes each position."""

    name = "seen"
    metadata: ClassVar[MetaData] = seen.metadata

    def handle(self, connection: Connection, event: Event) -> None:
        """Note the event."""
        connection.execute(insert(seen).values(position=event.position))


async def fill(url: str, *, view: bool) -> None:
    """Write some hundred events, consumers, a view and a redaction."""
    async with EventStore.open(url, inline=[Seen()] if view else []) as store:
        for number in range(40):
            data = "x" * (number * 97 % 3000)
            writes = [
                StreamWrite(f"thing/{number % 7}", some(3)),
                StreamWrite(f"other/{number}", [NewEvent("Long", data, metadata={"by": "ana"})]),
            ]
            await store.append_many(writes)
        await store.append("bytes/1", [NewEvent("Raw", b"\x00\xff" * 40), *some(100)])
        for name, position in (("one", 50), ("two", 120)):
            async with store.subscribe_changes(after=position, consumer=name) as changes:
                await anext(changes)
                await changes.ack(flush=True)
        await store.redact(33, "it named somebody")
        assert (await store.verify()).findings == ()


async def grow(url: str) -> None:
    """Let most of the file be events."""
    async with EventStore.open(url, inline=[Seen()]) as store:
        await store.append("long/1", [NewEvent("Long", "x" * 3000) for _ in range(60)])


def finds(url: str) -> list[str]:
    """Return what a verification of this log finds; opening it may fail with a typed error."""

    async def verify() -> list[str]:
        try:
            async with EventStore.open(url, notify="none") as store:
                return [str(finding) for finding in (await store.verify()).findings]
        except StorageError as error:
            return [str(error)]

    return anyio.run(verify)


def content(path: Path) -> dict[str, Any]:
    """Return the schema and every row of the log's tables, as plain SQLite reads them."""
    with closing(sqlite3.connect(path)) as connection:
        tables = ("event", "stream", "head", "consumer", "kept", "migration", "projection")
        found: dict[str, Any] = {}
        for table in tables:
            names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            names = [name for name in names if name not in KEPT_BY_NOBODY.get(table, ())]
            rows = connection.execute(f"SELECT {', '.join(names)} FROM {table}").fetchall()
            found[table] = sorted(rows, key=repr)
        schema = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY 1, 2"
        found["schema"] = connection.execute(schema).fetchall()
    # How often the view was opened, and the version of its code, are its own affair.
    found["projection"] = [(row[0], *row[2:5]) for row in found["projection"]]
    return found


@pytest.mark.promise("integrity")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("times", TIMES)
def test_every_changed_byte_of_the_file_is_found_or_lies_outside_the_log(
    path: Path, url: str, tmp_path: Path, times: int
) -> None:
    anyio.run(lambda: fill(url, view=True))
    anyio.run(lambda: grow(url))
    dice = random.Random(1789)
    whole, sound = path.read_bytes(), content(path)
    copy, found = tmp_path / "copy.db", 0
    for _ in range(times):
        at, flip = dice.randrange(len(whole)), dice.randint(1, 255)
        copy.write_bytes(whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :])
        changed = tmp_path / "changed.db"
        shutil.copyfile(copy, changed)
        if finds(f"sqlite:///{copy}"):
            found += 1
        else:
            assert content(changed) == sound, f"byte {at} ^ {flip}"
        for file in (copy, changed):
            for suffix in ("", "-wal", "-shm"):
                file.with_name(file.name + suffix).unlink(missing_ok=True)
    # Most of the file is log, so a checker that finds nothing cannot pass.
    assert found > times / 2


@pytest.fixture(params=["sqlite", "postgresql"])
def filled(request: pytest.FixtureRequest, url: str) -> str:
    """Give a log with something of everything."""
    where = url if request.param == "sqlite" else shared_server().fresh_schema()
    anyio.run(lambda: fill(where, view=False))
    return where


@pytest.mark.promise("integrity")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("times", TIMES)
def test_every_edit_of_a_row_by_a_superuser_is_found(filled: str, times: int) -> None:
    dice = random.Random(1848)
    saved = {table: _rows(filled, table) for table in COLUMNS}
    done = 0
    while done < times:
        edit = dice.choice(EDITS)
        try:
            with superuser(filled) as user:
                what = edit(user, dice)
        except (sqlite3.IntegrityError, psycopg.Error):
            continue  # Not even a superuser can: the constraints bind every role.
        assert finds(filled), what
        done += 1
        _restore(filled, saved)
        if done % 8 == 0:
            assert finds(filled) == [], "the log was not restored"


def _rows(url: str, table: str) -> list[tuple[Any, ...]]:
    with superuser(url) as user:
        return user.run(f"SELECT * FROM {table}")


def _restore(url: str, saved: dict[str, list[tuple[Any, ...]]]) -> None:
    with superuser(url) as user:
        for table, rows in saved.items():
            user.run(f"DELETE FROM {table}")
            names = _names(user, url, table)
            marks = ", ".join("?" * len(names))
            for row in rows:
                user.run(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})", *row)


def _names(user: Any, url: str, table: str) -> list[str]:
    if dialect(url) == "sqlite":
        return [row[1] for row in user.run(f"PRAGMA table_info({table})")]
    find = (
        "SELECT column_name FROM information_schema.columns "
        "WHERE table_schema = current_schema() AND table_name = ? ORDER BY ordinal_position"
    )
    return [row[0] for row in user.run(find, table)]
