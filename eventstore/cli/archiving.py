"""Commands that move a log as a whole, copy it, put it back, and cut off its beginning."""

from __future__ import annotations

import getpass
import sys
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path  # noqa: TC003 - typer reads annotations at run time
from typing import IO, TYPE_CHECKING, Annotated

import msgspec
import typer

from eventstore import EventStore
from eventstore.cli.app import Json, Url, _options, app
from eventstore.cli.run import run
from projections.rules.trim_policy import keep_rules

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventstore.archive.transfer import Progress
    from eventstore.cli.run import Session

Replace = Annotated[bool, typer.Option("--replace", help="Overwrite what is there.")]


@app.command("export")
def export_command(
    context: typer.Context,
    file: Annotated[str, typer.Argument(help="The file to write; - for stdout.")],
    *,
    replace: Replace = False,
    url: Url = None,
    json: Json = False,
) -> None:
    """Write the whole log into one portable, checksummed file."""

    async def work(session: Session) -> None:
        async with session.open_store() as store:
            with _progress(session, "exporting") as told:
                if file == "-":
                    await store.export(sys.stdout.buffer, progress=told)
                    sys.stdout.buffer.flush()
                    return
                moved = await store.export(file, replace=replace, progress=told)
        session.show(
            {"file": file, **_fields(moved)},
            f"{file}: {moved.events} events up to position {moved.position}, sha256 {moved.sha256}",
        )

    run(_options(context, url, json), work)


@app.command("import")
def import_command(
    context: typer.Context,
    file: Annotated[str, typer.Argument(help="A file made by export; - for stdin.")],
    *,
    url: Url = None,
    json: Json = False,
) -> None:
    """Become the log that an export holds; the log must be new and empty."""

    async def work(session: Session) -> None:
        source: str | IO[bytes] = sys.stdin.buffer if file == "-" else file
        async with session.open_store() as store:
            with _progress(session, "importing") as told:
                moved = await store.import_from(source, progress=told)
        session.show(
            {"url": store.url, **_fields(moved)},
            f"{store.url}: {moved.events} events up to position {moved.position}; "
            "its views are rebuilt as they are used",
        )

    run(_options(context, url, json), work)


@app.command()
def backup(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The file to write.")],
    *,
    replace: Replace = False,
    url: Url = None,
    json: Json = False,
) -> None:
    """Copy a log's SQLite file, views included, while writers go on."""

    async def work(session: Session) -> None:
        async with session.open_store() as store:
            with _progress(session, "copying", "pages") as told:
                position = await store.backup(file, replace=replace, progress=told)
        session.show({"file": str(file), "position": position}, f"{file} is at position {position}")

    run(_options(context, url, json), work)


@app.command()
def restore(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A file made by backup.")],
    *,
    replace: Replace = False,
    url: Url = None,
    json: Json = False,
) -> None:
    """Put a backup in the log's place; followers that had come further are told."""

    async def work(session: Session) -> None:
        place = session.settings.url
        with _progress(session, "restoring", "pages") as told:
            position = await EventStore.restore(file, place, replace=replace, progress=told)
        session.show(
            {"url": place, "position": position}, f"{place} is at position {position} again"
        )

    run(_options(context, url, json), work)


@app.command()
def trim(
    context: typer.Context,
    *,
    before: Annotated[
        str,
        typer.Option(
            help="A position, a time such as 2026-01-31T12:00+00:00, or an age such as 90d.",
        ),
    ],
    archive: Annotated[
        Path | None,
        typer.Option(help="Where what is trimmed goes; default beside the log's file."),
    ] = None,
    reason: Annotated[str, typer.Option(help="Why.")] = "",
    by: Annotated[
        str | None,
        typer.Option(help="Who says so; default the user's login name."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also what named consumers have not seen.")
    ] = False,
    url: Url = None,
    json: Json = False,
) -> None:
    """Archive the oldest events and cut them off; what views of rules need is kept."""
    place = _parse_before(before)

    async def work(session: Session) -> None:
        async with session.open_store() as store:
            with _progress(session, "archiving") as told:
                done = await store.trim(
                    place,
                    archive=archive,
                    reason=reason,
                    by=by or getpass.getuser(),
                    keep=keep_rules,
                    force=force,
                    progress=told,
                )
        first = done.first_position
        session.show(
            _fields(done),
            f"{done.events} events are in {done.archive}, {done.kept} of what went are kept; "
            f"the log starts at {first}"
            if done.events
            else f"nothing to trim: no whole commit from {first} on lies before {before}",
        )

    run(_options(context, url, json), work)


def _parse_before(text: str) -> int | datetime:
    if text.isdigit() and int(text) > 0:
        return int(text)
    units = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
    if text[-1:] in units and text[:-1].isdigit():
        return datetime.now(UTC) - timedelta(**{units[text[-1]]: int(text[:-1])})
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(
            f"{text!r} is neither a position, nor a time such as 2026-01-31T12:00+00:00, "
            "nor an age such as 90d"
        ) from error
    return moment if moment.tzinfo is not None else moment.astimezone()


@contextmanager
def _progress(session: Session, what: str, unit: str = "events") -> Iterator[Progress]:
    with session.progress(what) as bar:
        task = bar.add_task(unit, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _fields(value: msgspec.Struct) -> dict[str, object]:
    return msgspec.structs.asdict(value)
