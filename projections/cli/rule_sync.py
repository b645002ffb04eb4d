"""``up`` and ``sync``: a directory of rule files becomes events."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import anyio
import typer

from eventstore.cli.event_lines import show_event
from eventstore.cli.metrics import Address, MetricsEndpoint
from eventstore.cli.session import Session
from projections.cli.directory import Atomic, directory_runner
from projections.cli.rejected_lines import show_rejected
from projections.cli.rule_options import (
    Ignored,
    SourceOptions,
    rule_sync,
    show_ignored,
)
from projections.rules.expiry import StateExpiry
from projections.rules.sources.source_error import check_directory, refuse_projected
from projections.rules.sources.sync import sync_together

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventstore import Subscription
    from projections.rules import RuleSync, SyncReport


async def up(
    session: Session,
    *,
    rules: Annotated[Path, typer.Option(help="The directory of rule files to follow.")],
    to: Annotated[
        Path | None,
        typer.Option(help="A directory to keep equal to the log."),
    ] = None,
    atomic: Atomic = None,
    source: SourceOptions,
    metrics: Address = None,
) -> None:
    """Do the main job: follow a directory of rules, project it, print each change."""
    if to is None and atomic is not None:
        raise typer.BadParameter("--atomic and --no-atomic go with --to")
    opening = session.open_store(create=True)
    # What is wrong with the arguments ends the command before a log is made.
    master = rule_sync(session, opening, rules, source)
    endpoint = MetricsEndpoint(session, metrics)
    async with endpoint, opening as store, endpoint.serving(store):
        start = (await store.head()).cursor
        session.output.line(f"{store.url} at position {start.position}: following {rules}")
        async with (
            store.subscribe_changes(after=start) as changes,
            anyio.create_task_group() as group,
        ):
            if to is not None:
                session.output.line(f"keeping {to} equal to the log")
                runner = directory_runner(session, store, to, atomic=atomic)
                group.start_soon(partial(runner.run, persist=True))
            group.start_soon(_print_changes, session, changes)
            group.start_soon(StateExpiry(store).run)
            await master.run(_FirstCount(session, rules))


class _FirstCount:
    """Prints how many files the first look of a master has ignored, where it has."""

    def __init__(self, session: Session, directory: Path) -> None:
        self._session = session
        self._directory = directory
        self._begun = False

    def __call__(self, found: SyncReport) -> None:
        if found.ignored and not self._begun:
            plural = "" if found.ignored == 1 else "s"
            self._session.output.line(f"{found.ignored} file{plural} ignored in {self._directory}")
        self._begun = True


async def _print_changes(session: Session, changes: Subscription) -> None:
    async for event in changes:
        show_event(session.output, event)


async def sync(
    session: Session,
    directory: Annotated[
        list[Path],
        typer.Argument(help="The directory of rule files; several are several sources."),
    ],
    *,
    once: Annotated[bool, typer.Option("--once", help="Sync once and end.")] = False,
    source: SourceOptions,
    ignored: Ignored = False,
    metrics: Address = None,
) -> int:
    """Turn the rule files of a directory into events, once or until interrupted.

    With --once, status 1 where a file is rejected, and several directories are one commit.
    """
    if len(directory) > 1 and (source.source or session.settings.rules.source):
        raise typer.BadParameter("one source has one directory: leave --source out")
    opening = session.open_store(create=True)
    # What is wrong with the arguments ends the command before a log is made.
    masters = [rule_sync(session, opening, one, source) for one in directory]
    if once:
        await _check_before_a_log_is_made(session, directory)
    endpoint = MetricsEndpoint(session, metrics)
    async with endpoint, opening as store, endpoint.serving(store):
        if once:
            found = await sync_together(masters)
            looks = zip(directory, masters, found, strict=True)
            return max([_report_once(session, *look, ignored=ignored) for look in looks])
        session.output.line(f"following {', '.join(map(str, directory))}")
        async with anyio.create_task_group() as group:
            group.start_soon(StateExpiry(store).run)
            for one, master in zip(directory, masters, strict=True):
                report = partial(_report, session, one, master, ignored=ignored)
                group.start_soon(master.run, report)
    return 0


async def _check_before_a_log_is_made(session: Session, directories: Sequence[Path]) -> None:
    for one in directories:
        check_directory(one.absolute())
    if not await session.has_log():
        for one in directories:
            await anyio.to_thread.run_sync(refuse_projected, one.absolute())


def _report(
    session: Session, directory: Path, master: RuleSync, found: SyncReport, *, ignored: bool
) -> None:
    if ignored:
        show_ignored(session, directory, master.ignored)
    passed_over = f", {found.ignored} ignored" if found.ignored else ""
    position = f"; position {found.position}" if found.position else ""
    session.output.value(
        asdict(found) | {"rejections": [one._asdict() for one in found.rejections]},
        f"{found.defined} defined, {found.removed} removed, {found.rejected} rejected, "
        f"{found.unchanged} unchanged{passed_over}{position}",
    )


def _report_once(
    session: Session, directory: Path, master: RuleSync, found: SyncReport, *, ignored: bool
) -> int:
    """Print what a single look found; return the exit status."""
    _report(session, directory, master, found, ignored=ignored)
    for one in found.rejections:
        session.output.note(show_rejected(str(directory / one.path), one.line, one.reason))
    if found.ignored and not (found.defined or found.unchanged or found.rejected or found.waiting):
        session.output.note(
            f"warning: {directory}: no file is a rule, all {found.ignored} are ignored: "
            "see --ignored and --format"
        )
    faults = []
    if found.rejected:
        faults.append(f"{found.rejected} file{'' if found.rejected == 1 else 's'} rejected")
    if found.waiting:
        faults.append(f"{found.waiting} changes wait, for the directory does not come to rest")
    if faults:
        session.output.note(f"error: {directory}: {'; '.join(faults)}")
    return 1 if faults else 0
