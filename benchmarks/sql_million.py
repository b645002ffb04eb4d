"""A million rows inserted in one transaction: ``python -m benchmarks.sql_million [ROWS]``.

Prints the seconds that it took on SQLite, its commit included, and the largest memory of the
process, which does nothing else.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.sql import INSERT, TABLE
from projections.sql import SqlStorage

BATCH = 10_000


def main(rows: int) -> None:
    """Insert the rows in batches, in one transaction, and say what that took."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        migrations = folder / "migrations"
        migrations.mkdir()
        (migrations / "1.sql").write_text(f"{TABLE};")
        with SqlStorage(f"sqlite:///{folder / 'log.db'}", notify="none") as storage:
            storage.apply_migrations(migrations)
            began = time.perf_counter()
            with storage.connection() as c:
                for start in range(0, rows, BATCH):
                    numbers = range(start, min(rows, start + BATCH))
                    note = "some note of a few words"
                    c.executemany(INSERT, [(i, f"code-{i}", i / 7, note) for i in numbers])
            seconds = time.perf_counter() - began
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{rows:,} rows in one transaction: {seconds:.1f} s, {memory:.0f} MB")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
