"""Commands that move data: files into events, events into files."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import anyio

from eventstore.cli.render import describe
from projections import DirectoryProjection, ProjectionRunner
from projections.rules import RuleSync, SyncReport
from projections.rules.expiry import StateExpiry
from projections.rules.sources.debounce import SettleTimes

if TYPE_CHECKING:
    from pathlib import Path

    from eventstore import Cursor, EventStore, Subscription
    from eventstore.cli.run import Session
    from projections.runner import Progress


@dataclass(frozen=True, slots=True)
class SyncOptions:
    """What the command line says about a sync; ``None`` leaves it to the settings."""

    format: str | None
    source: str | None
    allow_empty: bool


async def up(session: Session, rules: Path, to: Path | None, options: SyncOptions) -> None:
    """Sync, project and print in one process, until interrupted."""
    async with session.open_store() as store:
        master = _master(session, store, rules, options)
        start = (await store.head()).cursor
        session.say(f"{store.url} at position {start.position}: following {rules}")
        async with (
            store.subscribe_changes(after=start) as changes,
            anyio.create_task_group() as group,
        ):
            if to is not None:
                session.say(f"keeping {to} equal to the log")
                group.start_soon(_runner(session, store, to).run)
            group.start_soon(_print_changes, session, changes)
            group.start_soon(StateExpiry(store).run)
            await master.run()


async def _print_changes(session: Session, changes: Subscription) -> None:
    async for event in changes:
        session.show(event.to_dict(), describe(event))


async def sync(session: Session, directory: Path, options: SyncOptions, *, once: bool) -> None:
    """Bring the log in line with a directory, once or until interrupted."""

    def report(found: SyncReport) -> None:
        session.show(
            asdict(found),
            f"{found.defined} defined, {found.removed} removed, {found.rejected} rejected, "
            f"{found.unchanged} unchanged"
            + (f"; position {found.position}" if found.position else ""),
        )

    async with session.open_store() as store:
        master = _master(session, store, directory, options)
        if once:
            report(await master.sync_once())
            return
        session.say(f"following {directory}")
        async with anyio.create_task_group() as group:
            group.start_soon(StateExpiry(store).run)
            await master.run(report)


async def project(session: Session, directory: Path, *, once: bool, at: int | None) -> None:
    """Bring a directory in line with the log: once, as of a position, or for good."""
    async with session.open_store() as store:
        if not once and at is None:
            session.say(f"keeping {directory} equal to the log")
            await _runner(session, store, directory).run()
            return
        with session.progress(f"projecting {directory}") as bar:
            task = bar.add_task("events", total=None)
            runner = _runner(
                session,
                store,
                directory,
                lambda done, total: bar.update(task, completed=done, total=total),
            )
            reached: Cursor = await runner.catch_up(until=at)
        session.show(
            {"directory": str(directory), "position": reached.position},
            f"{directory} is at position {reached.position}",
        )


def _master(session: Session, store: EventStore, directory: Path, options: SyncOptions) -> RuleSync:
    settings = session.settings.rules
    return RuleSync(
        store,
        directory,
        format=options.format or settings.format,
        source=options.source or settings.source or None,
        max_bytes=settings.max_bytes,
        allow_empty=options.allow_empty or settings.allow_empty,
        settle=SettleTimes(settings.settle_seconds, settings.hasty_settle_seconds),
        rescan_seconds=settings.rescan_seconds,
    )


def _runner(
    session: Session, store: EventStore, directory: Path, progress: Progress | None = None
) -> ProjectionRunner:
    settings = session.settings.projection
    return ProjectionRunner(
        store,
        DirectoryProjection(directory, on_error=settings.on_error),
        progress=progress,
        heal_seconds=settings.heal_seconds,
    )
