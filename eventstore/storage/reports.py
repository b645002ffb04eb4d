"""What workers have told of themselves: one record for each, kept beside the log.

A record is no event: a heartbeat would wake all that follow, and no history needs it. The table
``worker_report`` is made with the log, and on an older log by the first record. It has as many rows
as workers have told something within ``KEPT_SECONDS``, and at most ``limits.MAX_REPORTS``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from eventstore import limits
from eventstore.errors import LimitExceededError
from eventstore.log.operations import StoreReport, WorkerReport

if TYPE_CHECKING:
    from eventstore.log.operations import ReportOperation
    from eventstore.storage.driver import Driver

TABLE: Final = "worker_report"

KEPT_SECONDS: Final = 7 * 86_400
"""Seconds after which the record of a worker that tells nothing more is removed."""

CROWDED_SECONDS: Final = 3_600
"""The same where there are as many records as there may be."""

_CREATE: Final = (
    f"CREATE TABLE IF NOT EXISTS {TABLE} (name VARCHAR NOT NULL PRIMARY KEY, "
    "told_us BIGINT NOT NULL, report VARCHAR NOT NULL)"
)
_UPDATE: Final = f"UPDATE {TABLE} SET told_us = ?, report = ? WHERE name = ?"  # noqa: S608
_INSERT: Final = (
    f"INSERT INTO {TABLE} (told_us, report, name) VALUES (?, ?, ?) "  # noqa: S608 - our own name
    "ON CONFLICT (name) DO UPDATE SET told_us = excluded.told_us, report = excluded.report"
)
_SWEEP: Final = f"DELETE FROM {TABLE} WHERE told_us < ?"  # noqa: S608
_REMOVE: Final = f"DELETE FROM {TABLE} WHERE name = ?"  # noqa: S608
_COUNT: Final = f"SELECT COUNT(*) FROM {TABLE}"  # noqa: S608
_READ: Final = f"SELECT name, told_us, report FROM {TABLE}"  # noqa: S608


def make_table(driver: Driver) -> None:
    """Make the table, where it is missing."""
    if not driver.has_table(TABLE):
        driver.lock_schema()
        driver.run(_CREATE)


def write_report(driver: Driver, operation: ReportOperation, now_us: int) -> None:
    """Store or remove a record; a new name is when those that are too old are removed.

    Raises LimitExceededError for one name too many.
    """
    if not isinstance(operation, StoreReport):
        remove_report(driver, operation.name)
        return
    make_table(driver)
    row = (now_us, operation.report, operation.name)
    if driver.run(_UPDATE, row) == 0:
        _make_room(driver, now_us)
        driver.run(_INSERT, row)


def _make_room(driver: Driver, now_us: int) -> None:
    number = 0
    for seconds in (KEPT_SECONDS, CROWDED_SECONDS):
        driver.run(_SWEEP, (now_us - seconds * 1_000_000,))
        ((number,),) = driver.rows(_COUNT)
        if number < limits.MAX_REPORTS:
            return
    raise LimitExceededError("workers with a report", number + 1, limits.MAX_REPORTS)


def remove_report(driver: Driver, name: str) -> None:
    """Remove the record of a worker, if there is one."""
    if driver.has_table(TABLE):
        driver.run(_REMOVE, (name,))


def read_reports(driver: Driver) -> list[WorkerReport]:
    """Read all records, by name."""
    if not driver.has_table(TABLE):
        return []
    return [WorkerReport(*row) for row in sorted(driver.rows(_READ))]
