"""``project``: a directory kept equal to the log."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eventstore.cli.metrics import Address, MetricsEndpoint
from eventstore.cli.moments import At
from eventstore.cli.options import WaitForLog
from eventstore.cli.output import without_secrets
from eventstore.cli.session import Session
from eventstore.moments.resolve import resolve_moment
from projections.cli.directory_check import check_directory
from projections.rules.directory import DirectoryProjection
from projections.runner import ProjectionRunner

if TYPE_CHECKING:
    from eventstore import EventStore
    from projections.runner import Progress

Atomic = Annotated[
    bool | None,
    typer.Option(
        "--atomic/--no-atomic",
        help="Switch a link between whole directories; without either, as the settings say.",
    ),
]


async def project(
    session: Session,
    directory: Annotated[Path, typer.Argument(help="The directory to keep equal to the log.")],
    *,
    once: Annotated[bool, typer.Option("--once", help="Catch up and end.")] = False,
    at: At = None,
    atomic: Atomic = None,
    check: Annotated[
        bool, typer.Option("--check", help="Report what differs from the log; change nothing.")
    ] = False,
    wait_for_log: WaitForLog = 0.0,
    metrics: Address = None,
) -> int:
    """Turn events into files: once, as of a moment, or until interrupted.

    With --check, each path that is not what the log says is a line; status 1 where there are any.
    """
    if check and (once or at is not None or atomic is not None):
        raise typer.BadParameter("--check goes without --once, --at and --atomic")
    output = session.output
    endpoint = MetricsEndpoint(session, metrics)
    await session.wait_for_log(wait_for_log)
    async with endpoint, session.open_store() as store, endpoint.serving(store):
        if check:
            return await check_directory(session, store, directory)
        if not once and at is None:
            output.line(f"keeping {directory} equal to the log")
            await directory_runner(session, store, directory, atomic=atomic).run()
            return 0
        until = None if at is None else (await resolve_moment(store, at)).position
        with output.progress(f"projecting {directory}") as progress:
            runner = directory_runner(session, store, directory, progress, atomic=atomic)
            reached = await runner.catch_up(until=until)
    output.value(
        {"directory": without_secrets(str(directory)), "position": reached.position},
        f"{directory} is at position {reached.position}",
    )
    return 0


def directory_runner(
    session: Session,
    store: EventStore,
    directory: Path,
    progress: Progress | None = None,
    *,
    atomic: bool | None = None,
) -> ProjectionRunner:
    """Return the runner that keeps a directory equal to the log."""
    return ProjectionRunner(
        store,
        directory_projection(session, directory, atomic=atomic),
        progress=progress,
        heal_seconds=session.settings.projection.heal_seconds,
    )


def directory_projection(
    session: Session, directory: Path, *, atomic: bool | None = None
) -> DirectoryProjection:
    """Return the projection into a directory; with None in the form that the settings name."""
    settings = session.settings.projection
    if atomic is None and settings.form != "keep":
        atomic = settings.form == "atomic"
    return DirectoryProjection(
        directory,
        on_error=settings.on_error,
        atomic=atomic,
        grace_seconds=settings.grace_seconds,
    )
