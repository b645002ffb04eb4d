"""Counts in a table: ``python -m programs.sql_count URL ROUNDS`` adds 1 in each transaction."""

from __future__ import annotations

import sys

from projections.sql import SqlStorage


def main(url: str, rounds: int) -> None:
    """Add 1 to the only row of ``counter``, once in each round."""
    with SqlStorage(url) as storage:
        for _ in range(rounds):
            with storage.connection() as c:
                c.execute("UPDATE counter SET n = n + 1 WHERE id = 1")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
