"""What figures were measured on: the machine, and the versions that took part."""

from __future__ import annotations

import os
import platform
import sqlite3
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.measure import Row

PACKAGES: Final = (
    "ruletide",
    "eventsourcing",
    "umadb",
    "py-event-sourcing",
    "psycopg",
    "redis",
    "watchfiles",
)
"""Packages whose versions matter for a figure, where they are installed."""


def machine() -> str:
    """Describe the machine, Python and SQLite in one line."""
    return (
        f"{os.cpu_count()} cores{_processor()}, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    )


def versions() -> dict[str, str]:
    """Return the versions of the packages that are installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f" ({names[0]})" if names else ""


def as_run(rows: Sequence[Row], *, quick: bool) -> dict[str, object]:
    """Return a run as JSON-ready values, with all that its figures depend on."""
    return {
        "day": time.strftime("%Y-%m-%d"),
        "quick": quick,
        "machine": machine(),
        "versions": versions(),
        "rows": [row.to_dict() for row in rows],
    }
