"""A million rows in one transaction: ``python -m benchmarks.sql_million [ROWS] [update|delete]``.

Prints the seconds that it took on SQLite, its commit included, and the largest memory of the
process, which does nothing else. Rows are inserted; those that are updated or deleted were
inserted by another process before.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from projections.sql import SqlStorage

TABLE: Final = (
    "CREATE TABLE item (id INTEGER PRIMARY KEY, code TEXT NOT NULL UNIQUE, amount REAL, note TEXT)"
)
INSERT: Final = "INSERT INTO item VALUES (?, ?, ?, ?)"
BATCH: Final = 10_000
LATER: Final = {"update": "UPDATE item SET amount = amount + 1", "delete": "DELETE FROM item"}


def insert(folder: Path, rows: int) -> float:
    """Insert the rows in batches, in one transaction; return the seconds that it took."""
    with SqlStorage(f"sqlite:///{folder / 'log.db'}", notify="none") as storage:
        storage.apply_migrations(folder / "migrations")
        began = time.perf_counter()
        with storage.connection() as c:
            for start in range(0, rows, BATCH):
                numbers = range(start, min(rows, start + BATCH))
                note = "some note of a few words"
                c.executemany(INSERT, [(i, f"code-{i}", i / 7, note) for i in numbers])
        return time.perf_counter() - began


def change(folder: Path, rows: int, how: str) -> float:
    """Change all of the rows by one statement; return the seconds that it took."""
    before = multiprocessing.get_context("spawn").Process(target=insert, args=(folder, rows))
    before.start()
    before.join()
    with SqlStorage(f"sqlite:///{folder / 'log.db'}", notify="none") as storage:
        began = time.perf_counter()
        with storage.connection() as c:
            c.execute(LATER[how])
        return time.perf_counter() - began


def main(rows: int, how: str) -> None:
    """Measure one transaction, and say what it took."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "migrations").mkdir()
        (folder / "migrations" / "1.sql").write_text(f"{TABLE};")
        seconds = change(folder, rows, how) if how in LATER else insert(folder, rows)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{rows:,} rows in one transaction, {how}: {seconds:.1f} s, {memory:.0f} MB")


if __name__ == "__main__":
    given = sys.argv[1:] + ["1000000", "insert"][len(sys.argv) - 1 :]
    main(int(given[0]), given[1])
