"""``up`` and ``sync``: a directory of rule files becomes events."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import anyio
import typer

from eventstore.cli.event_lines import describe
from eventstore.cli.session import Session
from projections.cli.directory import directory_runner
from projections.cli.rule_options import (
    AllowEmpty,
    Format,
    Ignored,
    Source,
    rule_sync,
    show_ignored,
)
from projections.rules.expiry import StateExpiry

if TYPE_CHECKING:
    from eventstore import Subscription
    from projections.rules import SyncReport


async def up(
    session: Session,
    *,
    rules: Annotated[Path, typer.Option(help="The directory of rule files to follow.")],
    to: Annotated[
        Path | None,
        typer.Option(help="A directory to keep equal to the log."),
    ] = None,
    format: Format = None,  # noqa: A002 - the word that users write
    source: Source = None,
    allow_empty: AllowEmpty = False,
) -> None:
    """Do the main job: follow a directory of rules, project it, print each change."""
    async with session.open_store(create=True) as store:
        master = rule_sync(
            session, store, rules, format=format, source=source, allow_empty=allow_empty
        )
        start = (await store.head()).cursor
        session.output.line(f"{store.url} at position {start.position}: following {rules}")
        async with (
            store.subscribe_changes(after=start) as changes,
            anyio.create_task_group() as group,
        ):
            if to is not None:
                session.output.line(f"keeping {to} equal to the log")
                group.start_soon(directory_runner(session, store, to).run)
            group.start_soon(_print_changes, session, changes)
            group.start_soon(StateExpiry(store).run)
            await master.run()


async def _print_changes(session: Session, changes: Subscription) -> None:
    async for event in changes:
        session.output.value(event.to_dict(), describe(event))


async def sync(
    session: Session,
    directory: Annotated[Path, typer.Argument(help="The directory of rule files.")],
    *,
    format: Format = None,  # noqa: A002 - the word that users write
    once: Annotated[bool, typer.Option("--once", help="Sync once and end.")] = False,
    source: Source = None,
    allow_empty: AllowEmpty = False,
    ignored: Ignored = False,
) -> None:
    """Turn the rule files of a directory into events, once or until interrupted."""

    def report(found: SyncReport) -> None:
        if ignored:
            show_ignored(session, directory, master.ignored)
        passed_over = f", {found.ignored} ignored" if found.ignored else ""
        position = f"; position {found.position}" if found.position else ""
        session.output.value(
            asdict(found),
            f"{found.defined} defined, {found.removed} removed, {found.rejected} rejected, "
            f"{found.unchanged} unchanged{passed_over}{position}",
        )

    async with session.open_store(create=True) as store:
        master = rule_sync(
            session, store, directory, format=format, source=source, allow_empty=allow_empty
        )
        if once:
            report(await master.sync_once())
            return
        session.output.line(f"following {directory}")
        async with anyio.create_task_group() as group:
            group.start_soon(StateExpiry(store).run)
            await master.run(report)
