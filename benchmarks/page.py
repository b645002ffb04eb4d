"""The page of figures: ``python -m benchmarks.page RUN.json …`` writes docs/benchmarks.md.

Each file is what ``python -m benchmarks --json`` has printed. A benchmark that several of them have
is taken from the last one. The plots are SVG within the page: it loads nothing.
"""

from __future__ import annotations

import argparse
import json
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any, Final

PAGE: Final = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"

HEAD: Final = """\
# Benchmarks

<!-- Written by `python -m benchmarks.page`: edit benchmarks/page.py, not this page. -->

Each table is of one run in which all took turns. *Median* and *worst* are over rounds, and for
milliseconds over single samples, which also have a *p99*. *First ÷ this* divides the first row by
this one, within each round where there are rounds. More is better for events/s, less for all else.
*Durable* is what a commit waits for before it returns; rows without it write nothing, or say it in
the description of the benchmark. A bar is the median, the line goes on to the worst.
[benchmarks/README.md](../benchmarks/README.md) says what is compared and how to repeat it.
"""

WIDTH: Final = 640
LABEL: Final = 270
BAR: Final = 16
STEP: Final = 22


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, help="of python -m benchmarks --json")
    parser.add_argument("--to", type=Path, default=PAGE)
    asked = parser.parse_args()
    runs = [json.loads(run.read_text(encoding="utf-8")) for run in asked.runs]
    asked.to.write_text(as_page(runs), encoding="utf-8")


def as_page(runs: list[dict[str, Any]]) -> str:
    """Return the page of some runs."""
    sections: dict[str, str] = {}
    for run in runs:
        for title, rows in groupby(run["rows"], key=lambda row: row["benchmark"]):
            sections[title] = _section(title, list(rows), run)
    return "\n".join([HEAD, *sections.values()])


def _section(title: str, rows: list[dict[str, Any]], run: dict[str, Any]) -> str:
    parts = [f"## {title}\n", _table(rows)]
    for unit, same in groupby(rows, key=lambda row: row["unit"]):
        parts.append(_plot(title, unit, list(same)))
    used = ", ".join(f"{name} {number}" for name, number in run["versions"].items())
    mode = ", quick" if run["quick"] else ""
    parts.append(f"{run['day']}{mode}: {run['machine']}; {used}.\n")
    return "\n".join(parts)


def _table(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| who | durable | unit | median | p99 | worst | first ÷ this |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        numbers = [_number(row[name]) for name in ("median", "p99", "worst", "ratio")]
        lines.append(f"| {' | '.join([row['name'], row['durable'], row['unit'], *numbers])} |")
    return "\n".join(lines) + "\n"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _plot(title: str, unit: str, rows: list[dict[str, Any]]) -> str:
    """Return bars of the medians, each with a line to the worst."""
    most = max(max(row["median"], row["worst"]) for row in rows) or 1
    scale = (WIDTH - LABEL - 80) / most
    drawn = []
    for at, row in enumerate(rows):
        top = at * STEP
        bar, worst = row["median"] * scale, row["worst"] * scale
        fill = "currentColor" if row["name"].startswith("ours") or not at else "#8888"
        first, last = sorted((bar, worst))
        drawn += [
            f'<text x="{LABEL - 8}" y="{top + 13}" text-anchor="end">{escape(row["name"])}</text>',
            f'<rect x="{LABEL}" y="{top}" width="{bar:.1f}" height="{BAR}" fill="{fill}"/>',
            f'<path d="M{LABEL + first:.1f} {top + 8}H{LABEL + last:.1f}" stroke="#c60"/>',
            f'<text x="{LABEL + last + 6:.1f}" y="{top + 13}">{_number(row["median"])}</text>',
        ]
    height = len(rows) * STEP
    label = escape(f"{title}, {unit}", quote=True)
    inside = "\n".join(drawn)
    return (
        f'<div>\n<svg role="img" aria-label="{label}" viewBox="0 0 {WIDTH} {height}" '
        f'width="100%" font-size="12" fill="currentColor">\n{inside}\n</svg>\n</div>\n'
    )


if __name__ == "__main__":
    main()
