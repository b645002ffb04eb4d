"""``check``: rule files judged without a log, for hooks and pipelines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import anyio
import typer

from eventstore.cli.session import Session
from eventstore.system.printable import escape_path
from projections.cli.rejected_lines import show_rejected
from projections.cli.rule_options import Format, Ignored, show_ignored
from projections.rules.formats import known_formats
from projections.rules.sources.check import check_rules


async def check(
    session: Session,
    directory: Annotated[
        Path, typer.Argument(help="The directory of rule files.", exists=True, file_okay=False)
    ],
    *,
    format: Format = None,  # noqa: A002 - the word that users write
    ignored: Ignored = False,
    pysigma: Annotated[
        bool, typer.Option("--pysigma", help="Ask pySigma about Sigma rules, too.")
    ] = False,
) -> int:
    """Check rule files as sync would, without a log; status 1 where it finds faults.

    Each finding is a line, and the number of good rules follows.
    """
    if format is not None and format not in known_formats():
        raise typer.BadParameter(f"{format!r} is none of {', '.join(known_formats())}")
    settings = session.settings.rules
    format_name = format or settings.format
    if pysigma and format_name != "sigma":
        raise typer.BadParameter(f"--pysigma is for the format 'sigma', not {format_name!r}")
    report = await anyio.to_thread.run_sync(
        lambda: check_rules(
            directory, format=format_name, max_bytes=settings.max_bytes, pysigma=pysigma
        )
    )
    output = session.output
    for found in report.findings:
        file = escape_path(str(directory / found.path))
        output.value(
            {"file": file, "line": found.line, "reason": found.reason},
            show_rejected(file, found.line, found.reason),
        )
    if ignored:
        show_ignored(session, directory, report.ignored)
    count = len(report.findings)
    good = f"{report.good} rule{' is' if report.good == 1 else 's are'} good"
    if report.ignored:
        good += f"; {len(report.ignored)} ignored"
    totals = {"good": report.good, "findings": count, "ignored": len(report.ignored)}
    output.value(totals, None if count else good)
    if count:
        output.note(f"{count} finding{'' if count == 1 else 's'}; {good}")
    return 1 if count else 0
