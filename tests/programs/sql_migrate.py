"""Applies migrations on a signal: ``python -m programs.sql_migrate URL DIRECTORY``.

Prints ``ready`` once the storage is open, waits for a line, and prints the names of the
migrations that it has applied.
"""

from __future__ import annotations

import sys
from pathlib import Path

from projections.sql import SqlStorage


def main(url: str, directory: Path) -> None:
    """Open, wait, apply."""
    with SqlStorage(url) as storage:
        print("ready", flush=True)
        input()
        print(*storage.apply_migrations(directory), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
