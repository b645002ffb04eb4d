"""Snapshots on PostgreSQL: an export of the log, from which the tables are computed.

The file is that of :mod:`eventstore.archive.export`, which has checksums of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventstore.archive.export import export_to
from eventstore.archive.log_import import read_records
from eventstore.archive.progress import no_progress
from eventstore.errors import StorageError
from eventstore.storage import bulk

if TYPE_CHECKING:
    from pathlib import Path

    from eventstore.storage.movable import MovableSqlBackend
    from eventstore.storage.user_transaction import UserTransaction


def export_snapshot(backend: MovableSqlBackend, target: Path) -> int:
    """Export the log as of one moment; return its last position."""
    return export_to(backend, target, no_progress, replace=True).position


def load_log(transaction: UserTransaction, source: Path, url: str) -> None:
    """Fill an empty log from an export, in an open transaction.

    Raises ArchiveError for a file whose checksums differ, NotEmptyError for a log with events.
    """
    try:
        with source.open("rb") as file, transaction.reading() as driver:
            bulk.load(driver, read_records(file, str(source), no_progress), url)
            driver.flush()
    except OSError as error:
        raise StorageError(str(source), str(error)) from error
