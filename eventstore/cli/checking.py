"""The command that judges rule files without a log, for hooks and pipelines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from projections.rules.sources.check import check_rules

if TYPE_CHECKING:
    from pathlib import Path

    from eventstore.cli.run import Session


async def check(session: Session, directory: Path, format_name: str | None) -> int:
    """Print each finding, and how many rules are good; return the number of findings."""
    settings = session.settings.rules
    report = await anyio.to_thread.run_sync(
        lambda: check_rules(
            directory, format=format_name or settings.format, max_bytes=settings.max_bytes
        )
    )
    for found in report.findings:
        file = str(directory / found.path)
        session.show(
            {"file": file, "line": found.line, "reason": found.reason},
            # Editors and pipelines want a line: the first, where it is the file as a whole.
            f"{file}:{found.line or 1}: {found.reason}",
        )
    count = len(report.findings)
    good = f"{report.good} rule{' is' if report.good == 1 else 's are'} good"
    if not count:
        session.show({"good": report.good, "findings": 0}, good)
    elif session.json:
        session.show({"good": report.good, "findings": count}, "")
    else:
        session.note(f"{count} finding{'' if count == 1 else 's'}; {good}")
    return count
