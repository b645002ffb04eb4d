"""``views build``, ``swap``, ``drop`` and ``retry``: views in any database, by hand."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Final

import anyio
import typer

from eventstore.cli.options import Yes, parse_seconds
from eventstore.cli.session import Session
from eventstore.errors import EventStoreError, InvalidInputError
from eventstore.system.time_text import show_age
from projections.cli.view_definitions import Name, ViewOptions, load_upcasters, load_view
from projections.cli.view_places import Database, find_view, unknown_view
from projections.tables.dropping import drop_view
from projections.tables.places import SWAP_WAIT, forget_elsewhere, place_at
from projections.tables.retrying import retry_set_aside
from projections.tables.view_facts import read_views

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from eventstore import EventStore
    from projections.tables.places import ViewPlace

REPORT_SECONDS: Final = 5.0
"""Time between two lines of progress on stderr."""


Wait = Annotated[
    float,
    typer.Option(
        parser=parse_seconds,
        metavar="SECONDS",
        help="On PostgreSQL: give up after others have held the tables for so long.",
    ),
]


async def build(
    session: Session,
    name: Name,
    *,
    view: ViewOptions,
) -> None:
    """Build a new version of a view beside the live one, up to the head; do not swap it.

    What is built stays if this is interrupted, and the next build goes on with it.
    """
    projection = load_view(name, view.from_)
    async with _opened(session, name, view) as (store, place):
        with session.output.progress(f"building {name}") as bar:
            try:
                async with _telling(place, name):
                    built = await place.build(projection, _reporter(bar, session.output.note))
            except anyio.get_cancelled_exc_class():
                session.output.note("interrupted: the next build goes on with what is there")
                raise
        position = (await store.head()).position
    version = projection.version
    session.output.value(
        {"view": name, "version": version, "built": built, "position": position},
        f"version {version} of {name} is built up to position {position}: "
        f"'eventstore views swap {name}' makes it the live one, and so does a program with it"
        if built
        else f"version {version} of {name} is the live one: there is nothing to build",
    )


async def swap(
    session: Session,
    name: Name,
    *,
    view: ViewOptions,
    wait: Wait = SWAP_WAIT,
) -> None:
    """Make a new version of a view the live one, in one transaction, once it is built."""
    projection = load_view(name, view.from_)
    async with _opened(session, name, view) as (_, place), _telling(place, name):
        swapped = await place.swap(projection, wait=wait)
    version = projection.version
    session.output.value(
        {"view": name, "version": version, "swapped": swapped},
        f"version {version} of {name} is the live one{' now' if swapped else ' already'}",
    )


async def retry(
    session: Session,
    name: Name,
    *,
    position: Annotated[
        list[int] | None,
        typer.Option(help="Only the event at this position; may be given again."),
    ] = None,
    view: ViewOptions,
) -> int:
    """Apply events again that a view has set aside; status 1 where one still cannot be applied.

    They come after the events that were applied since: where the order matters, raise the view's
    version instead.
    """
    projection = load_view(name, view.from_)
    async with _opened(session, name, view) as (store, place), _telling(place, name):
        done = await retry_set_aside(store, projection, position, place=place)
    left = [{"position": at, "reason": reason} for at, reason in done.left.items()]
    session.output.value(
        {"view": name, "applied": done.applied, "left": left},
        f"{len(done.applied)} events are applied now, {len(left)} are still set aside",
    )
    for at, reason in done.left.items():
        session.output.line(f"{at}: {reason}")
    return 1 if left else 0


async def drop(
    session: Session,
    name: Annotated[
        str, typer.Argument(metavar="NAME[@VERSION]", help="A view, or a version that is built.")
    ],
    *,
    database: Database = None,
    forget: Annotated[
        bool,
        typer.Option(
            "--forget",
            help="Let the log forget a view in another database, and leave that database alone.",
        ),
    ] = False,
    wait: Wait = SWAP_WAIT,
    yes: Yes = False,
) -> None:
    """Remove a view with its tables, or a version that is built beside the live one.

    Stop the programs that keep the view before: otherwise they begin it anew.
    """
    async with session.open_store() as store:
        if forget:
            await _forget(session, store, name)
            return
        name, version = await _parse(store, name, database)
        what = f"view {name}" if version is None else f"the build of version {version} of {name}"
        if version is None and not yes and session.output.can_ask:
            session.output.ask(f"{what} and its tables would be removed. Remove them?")
        place = await find_view(store, name, database)
        async with _telling(place, name):
            dropped = await drop_view(store, name, version, place=place, wait=wait)
        if not dropped:
            raise unknown_view(what, await place.query(read_views), place.name)
    session.output.value({"view": name, "version": version}, f"{what} is removed")


@asynccontextmanager
async def _opened(
    session: Session, name: str, view: ViewOptions
) -> AsyncIterator[tuple[EventStore, ViewPlace]]:
    """Open the log as the view's program does, and find out where the view is."""
    lift = load_upcasters(name, view.from_, view.upcasters)
    async with session.open_store(upcasters=lift) as store:
        yield store, await find_view(store, name, view.database)


@asynccontextmanager
async def _telling(place: ViewPlace, name: str) -> AsyncIterator[None]:
    """Let the log know how a view is after the block, also where it fails."""
    try:
        yield
    except BaseException:
        with anyio.CancelScope(shield=True), suppress(EventStoreError):
            await place.tell(name)
        raise
    await place.tell(name)


async def _forget(session: Session, store: EventStore, name: str) -> None:
    if not await forget_elsewhere(store, name):
        raise InvalidInputError(f"view {name!r}", "is in no other database that the log knows")
    session.output.value({"view": name, "forgotten": True}, f"the log has forgotten view {name}")


def _reporter(
    bar: Callable[[int, int], None], note: Callable[[str], None]
) -> Callable[[int, int], None]:
    """Return what tells a bar how far a build is, and now and then how long the rest takes."""
    began: list[tuple[float, int]] = []
    due = [monotonic() + REPORT_SECONDS]

    def report(position: int, head: int) -> None:
        now = monotonic()
        began.append((now, position)) if not began else None
        bar(position, head)
        if now >= due[0] and position > began[0][1]:
            due[0] = now + REPORT_SECONDS
            left = (head - position) * (now - began[0][0]) / (position - began[0][1])
            note(f"{position} of {head} events, about {show_age(left)} left")

    return report


async def _parse(store: EventStore, given: str, database: str | None) -> tuple[str, int | None]:
    """Return the name and the version that an argument means; a name may hold an @ itself."""
    name, _, version = given.rpartition("@")
    place = await place_at(store, database)
    known = {view.name for view in await place.query(read_views)}
    if given in known or not name or not version.isdecimal():
        return given, None
    return name, int(version)
