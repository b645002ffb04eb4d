"""``views build``, ``swap``, ``drop`` and ``retry``: views in the log's database, by hand."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any, Final

import anyio
import typer

from eventstore.cli.consumers import show_age
from eventstore.cli.options import Yes
from eventstore.cli.session import Session
from eventstore.errors import ConfigError, InvalidInputError
from projections.tables.dropping import drop_view
from projections.tables.projection import TableProjection
from projections.tables.retrying import retry_set_aside
from projections.tables.view_facts import read_views

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from eventstore import EventStore
    from projections.tables.view_facts import ViewVersion

KNOWN: Final = {
    "journal": "projections.journal.tables:JournalTables",
    "memories": "projections.memories.tables:MemoryTables",
    "registry": "projections.registry.tables:RegistryTables",
    "rules": "projections.rules.tables:RuleTables",
}
"""Where the views of this package are defined."""

REPORT_SECONDS: Final = 5.0
"""Time between two lines of progress on stderr."""

Name = Annotated[str, typer.Argument(help="The view, as 'eventstore views' lists it.")]
From = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="MODULE:CLASS",
        help="Where the view is defined, from the working directory on.",
    ),
]
Upcast = Annotated[
    str | None,
    typer.Option(
        "--upcasters", metavar="MODULE:NAME", help="The Upcasters that the program opens it with."
    ),
]


async def build(
    session: Session, name: Name, *, from_: From = None, upcasters: Upcast = None
) -> None:
    """Build a new version of a view beside the live one, up to the head; do not swap it.

    What is built stays if this is interrupted, and the next build goes on with it.
    """
    projection, lift = _load(name, from_), _load_upcasters(upcasters)
    async with session.open_store(upcasters=lift) as store:
        await _find(store, name)
        with session.output.progress(f"building {name}") as bar:
            try:
                built = await store.build_view(
                    projection, progress=_reporter(bar, session.output.note)
                )
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
    session: Session, name: Name, *, from_: From = None, upcasters: Upcast = None
) -> None:
    """Make a new version of a view the live one, in one transaction, once it is built."""
    projection, lift = _load(name, from_), _load_upcasters(upcasters)
    async with session.open_store(upcasters=lift) as store:
        await _find(store, name)
        swapped = await store.swap_view(projection)
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
    from_: From = None,
    upcasters: Upcast = None,
) -> int:
    """Apply events again that a view has set aside; status 1 where one still cannot be applied.

    They come after the events that were applied since: where the order matters, raise the view's
    version instead.
    """
    projection, lift = _load(name, from_), _load_upcasters(upcasters)
    async with session.open_store(upcasters=lift) as store:
        await _find(store, name)
        done = await retry_set_aside(store, projection, position)
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
    yes: Yes = False,
) -> None:
    """Remove a view with its tables, or a version that is built beside the live one.

    Stop the programs that keep the view before: without its tables they cannot append.
    """
    async with session.open_store() as store:
        name, version = await _parse(store, name)
        what = f"view {name}" if version is None else f"the build of version {version} of {name}"
        if version is None and not yes and session.output.can_ask:
            session.output.ask(f"{what} and its tables would be removed. Remove them?")
        if not await drop_view(store, name, version):
            raise _unknown(what, await _read(store))
    session.output.value({"view": name, "version": version}, f"{what} is removed")


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


def _load(name: str, given: str | None) -> TableProjection:
    """Return the view that is to be built; raise ConfigError for what is none."""
    path = given or KNOWN.get(name)
    if path is None:
        raise InvalidInputError(
            f"view {name!r}", "is not known: say with --from where it is defined"
        )
    found = _import("--from", path)
    try:
        projection = found() if callable(found) else found
    except Exception as error:
        raise ConfigError(f"--from {path}: calling it raised {error!r}") from error
    if not isinstance(projection, TableProjection):
        raise ConfigError(f"--from {path} is no TableProjection, and returns none")
    if projection.name != name:
        raise InvalidInputError(f"view {name!r}", f"{path} is the view {projection.name!r}")
    return projection


def _load_upcasters(given: str | None) -> Any:
    return None if given is None else _import("--upcasters", given)


def _import(option: str, path: str) -> Any:
    module, _, attribute = path.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return getattr(importlib.import_module(module), attribute)
    except (Exception, SystemExit) as error:
        raise ConfigError(
            f"{option} {path!r} cannot be imported: {type(error).__name__}: {error}; "
            "give MODULE:NAME, from the working directory on"
        ) from error


async def _read(store: EventStore) -> list[ViewVersion]:
    return await store.query(lambda connection, _head: read_views(connection))


async def _find(store: EventStore, name: str) -> None:
    """Raise InvalidInputError where the log's database has no such view."""
    views = await _read(store)
    if name not in {view.name for view in views}:
        raise _unknown(f"view {name!r}", views)


async def _parse(store: EventStore, given: str) -> tuple[str, int | None]:
    """Return the name and the version that an argument means; a name may hold an @ itself."""
    name, _, version = given.rpartition("@")
    if given in {view.name for view in await _read(store)} or not name or not version.isdecimal():
        return given, None
    return name, int(version)


def _unknown(what: str, views: Sequence[ViewVersion]) -> InvalidInputError:
    names = ", ".join(
        f"{view.name}@{view.version}" if view.is_build else view.name for view in views
    )
    return InvalidInputError(
        what, f"is not in the log's database; there {'are ' + names if names else 'is none'}"
    )
