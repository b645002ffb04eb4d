"""Options of the commands that read a directory of rule files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from eventstore.system.printable import escape_path
from projections.rules.formats import known_formats
from projections.rules.sources.debounce import DebounceTimes
from projections.rules.sources.sync import RuleSync

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from eventstore import EventStore
    from eventstore.cli.session import Session
    from projections.rules.sources.ignored_files import IgnoredFile

Format = Annotated[
    str | None,
    typer.Option(
        help=f"How files are read: {', '.join(known_formats())}.",
        autocompletion=lambda: list(known_formats()),
    ),
]
Ignored = Annotated[
    bool,
    typer.Option("--ignored", help="List the files that are ignored by their names, and why."),
]
By = Annotated[str | None, typer.Option(help="Who does this, for the metadata of the events.")]


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """How a directory of rule files is read, and in which name."""

    format: Format = None
    source: Annotated[
        str | None, typer.Option(help="The directory's name within the log; default its path.")
    ] = None
    allow_empty: Annotated[
        bool, typer.Option("--allow-empty", help="An empty directory may remove every rule.")
    ] = False
    by: By = None


def show_ignored(session: Session, directory: Path, files: Iterable[IgnoredFile]) -> None:
    """Print a line for each file that was ignored, and the rule that says so."""
    for file in files:
        path = escape_path(f"{directory}/{file.path}")
        session.output.value(
            {"file": path, "ignored": file.reason}, f"{path}: ignored, it {file.reason}"
        )


def rule_sync(
    session: Session,
    store: EventStore,
    directory: Path,
    given: SourceOptions,
) -> RuleSync:
    """Return the sync of a directory; what no option says is left to the settings."""
    settings = session.settings.rules
    return RuleSync(
        store,
        directory,
        format=given.format or settings.format,
        source=given.source or settings.source or None,
        max_bytes=settings.max_bytes,
        allow_empty=given.allow_empty or settings.allow_empty,
        debounce=DebounceTimes(settings.settle_seconds, settings.hasty_settle_seconds),
        rescan_seconds=settings.rescan_seconds,
        by=given.by,
    )
