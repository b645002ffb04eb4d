"""The log's schema, and how it came to be: numbered SQL files for each database.

A database is made by running all of them and upgraded by running the rest, in one transaction
with their rows in the ledger ``migration``: no other process sees a log that is half made. A
row carries the file's checksum: a migration that was edited after it had been applied is found,
not ignored.
Files that have been released never change; what changes the schema is a new file.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING

import uuid_utils

from eventstore.errors import StorageError
from eventstore.log import hash_chain as chain

if TYPE_CHECKING:
    from eventstore.storage.driver import Driver

LEDGER = """CREATE TABLE migration (
    number INTEGER NOT NULL PRIMARY KEY,
    name VARCHAR NOT NULL,
    checksum VARCHAR NOT NULL,
    applied_us BIGINT NOT NULL
)"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema; ``number`` counts from 1, ``sql`` is for one database."""

    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the SQL, in hex."""
        return sha256(self.sql.encode()).hexdigest()


@cache
def known(dialect: str) -> tuple[Migration, ...]:
    """Return every migration for ``sqlite`` or ``postgresql``, in order."""
    found = sorted(files(__name__).joinpath(dialect).iterdir(), key=lambda file: file.name)
    return tuple(
        Migration(int(file.name[:4]), file.name.removesuffix(".sql"), file.read_text("utf-8"))
        for file in found
        if file.name.endswith(".sql")
    )


@cache
def newest_schema() -> int:
    """Return the version of the schema that this program writes, the same in each database."""
    return len(known("sqlite"))


def apply_missing(driver: Driver, dialect: str, where: str, now_us: int) -> None:
    """Apply all migrations that are missing, in the caller's transaction.

    A process that may only read could do nothing with the log between two of them. Raises
    StorageError where the database was written by a newer program, or by another version of the
    same migrations.
    """
    migrations = known(dialect)
    for step in migrations[_read_ledger(driver, migrations, where, now_us) :]:
        driver.script(step.sql)
        if step.number == 1:
            _begin_log(driver)
        _record(driver, step, now_us)
        driver.run("UPDATE head SET schema_version = ?", (step.number,))


def is_current(driver: Driver, dialect: str, where: str) -> bool:
    """Return whether a log has all migrations, having checked that they are these."""
    migrations = known(dialect)
    return driver.has_table("migration") and _applied(driver, migrations, where) >= len(migrations)


def _read_ledger(driver: Driver, migrations: tuple[Migration, ...], where: str, now_us: int) -> int:
    """Return how many migrations were applied, having checked that they are these."""
    if not driver.has_table("migration"):
        driver.run(LEDGER)
        if not driver.has_table("head"):
            return 0
        # The first schema had no ledger yet.
        _check_newer(driver, migrations, where)
        _record(driver, migrations[0], now_us)
        return 1
    return _applied(driver, migrations, where)


def _applied(driver: Driver, migrations: tuple[Migration, ...], where: str) -> int:
    rows = driver.rows("SELECT number, name, checksum FROM migration ORDER BY number")
    if rows:
        _check_newer(driver, migrations, where)
    for (number, name, checksum), step in zip(rows, migrations, strict=False):
        if (number, checksum) != (step.number, step.checksum):
            raise StorageError(
                where,
                f"migration {name} was applied with another content than this program's "
                f"{step.name}: open it with the program that made it",
            )
    return len(rows)


def _check_newer(driver: Driver, migrations: tuple[Migration, ...], where: str) -> None:
    row = driver.row("SELECT schema_version FROM head")
    if row is not None and row[0] > len(migrations):
        raise StorageError(
            where,
            f"its schema is version {row[0]}, this program knows {len(migrations)}: "
            "upgrade the program before you open it",
        )


def _record(driver: Driver, step: Migration, now_us: int) -> None:
    driver.run(
        "INSERT INTO migration (number, name, checksum, applied_us) VALUES (?, ?, ?, ?)",
        (step.number, step.name, step.checksum, now_us),
    )


def _begin_log(driver: Driver) -> None:
    log_id = str(uuid_utils.uuid7())
    driver.run(
        "INSERT INTO head (one, schema_version, log_id, first_position, position, recorded_us, "
        "hash) VALUES (1, 1, ?, 1, 0, 0, ?)",
        (log_id, chain.genesis(log_id)),
    )
