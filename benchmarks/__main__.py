"""The command: ``python -m benchmarks [NAME …] [--quick] [--json] [--dir DIR]``."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.appends import batches, concurrent, singles
from benchmarks.consumers import consumers, pg_consumers
from benchmarks.environment import as_run, machine
from benchmarks.fanout import asking, fanout
from benchmarks.idle import idle
from benchmarks.large import large
from benchmarks.latency import saving, waking
from benchmarks.measure import Row, Setting
from benchmarks.old_transaction import pg_old_transaction
from benchmarks.postgres import pg_batches, pg_concurrent, pg_reading, pg_singles, pg_waking
from benchmarks.publishing import definitions, publishing, publishing_10000
from benchmarks.reading import reading
from benchmarks.rule_states import states
from benchmarks.rules import memory, silencing, swapping, syncing
from benchmarks.seam_calls import journal_calls, registry_calls
from benchmarks.seam_journal import journal_postgres, journal_sqlite
from benchmarks.seam_memories import memories
from benchmarks.seam_registry import registry
from benchmarks.serving import (
    served_appends,
    served_idle,
    served_many,
    served_pages,
    served_waking,
)
from benchmarks.sql import sql_postgres, sql_sqlite
from benchmarks.starting import starting
from benchmarks.transports import transports

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

BENCHMARKS: Final[dict[str, Callable[[Setting], Awaitable[list[Row]]]]] = {
    "singles": singles,
    "batches": batches,
    "concurrent": concurrent,
    "reading": reading,
    "saving": saving,
    "waking": waking,
    "idle": idle,
    "starting": starting,
    "consumers": consumers,
    "pg-consumers": pg_consumers,
    "syncing": syncing,
    "swapping": swapping,
    "publishing": publishing,
    "publishing-10000": publishing_10000,
    "definitions": definitions,
    "silencing": silencing,
    "states": states,
    "memory": memory,
    "served-appends": served_appends,
    "served-waking": served_waking,
    "served-pages": served_pages,
    "served-many": served_many,
    "served-idle": served_idle,
    "pg-singles": pg_singles,
    "pg-batches": pg_batches,
    "pg-concurrent": pg_concurrent,
    "pg-reading": pg_reading,
    "pg-waking": pg_waking,
    "pg-old-transaction": pg_old_transaction,
    "journal": journal_sqlite,
    "pg-journal": journal_postgres,
    "transports": transports,
    "large": large,
    "fanout": fanout,
    "asking": asking,
    "memories": memories,
    "registry": registry,
    "registry-calls": registry_calls,
    "journal-calls": journal_calls,
    "sql": sql_sqlite,
    "pg-sql": sql_postgres,
}


QUICK: Final = (
    "singles", "batches", "concurrent", "reading", "waking", "idle", "starting", "large",
    "pg-singles", "pg-batches", "pg-concurrent", "pg-reading", "pg-waking",
)  # fmt: skip
"""What ``--quick`` runs where no benchmark is named: the log itself, in three minutes."""


def run(name: str, base: Path | None, *, quick: bool) -> list[Row]:
    """Run one benchmark in a directory of its own, which is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="benchmark-", dir=base) as folder:
        return anyio.run(BENCHMARKS[name], Setting(Path(folder).resolve(), quick))


def as_table(rows: Sequence[Row]) -> Table:
    """Return everything in one table, a section for each benchmark."""
    table = Table("benchmark", "who", "unit", caption=machine())
    table.add_column("durable")
    for column in ("median", "p99", "worst", "first ÷ this"):
        table.add_column(column, justify="right")
    benchmark = ""
    for row in rows:
        if row.benchmark != benchmark:
            table.add_section()
        title = row.benchmark if row.benchmark != benchmark else ""
        benchmark = row.benchmark
        numbers = [_number(value) for value in (row.median, row.p99, row.worst, row.ratio)]
        table.add_row(title, row.name, row.unit, row.durable, *numbers)
    return table


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 1_000 else f"{value:.2f}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what was asked for and print it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, less exact")
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.add_argument("--dir", type=Path, help="where to put the files; decides the disk")
    asked = parser.parse_args(arguments)
    if unknown := set(asked.names) - BENCHMARKS.keys():
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    rows: list[Row] = []
    with Progress(console=Console(stderr=True), transient=True) as progress:
        names = asked.names or (QUICK if asked.quick else list(BENCHMARKS))
        for name in progress.track(names, description="benchmarks"):
            rows += run(name, asked.dir, quick=asked.quick)
    if asked.json:
        json.dump(as_run(rows, quick=asked.quick), sys.stdout, indent=1)
        sys.stdout.write("\n")
    else:
        Console(width=None if sys.stdout.isatty() else 140).print(as_table(rows))


if __name__ == "__main__":
    main()
