"""Moments of the log as options, and ``tag``, which gives them names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from eventstore.cli.options import By, Replace, user_name
from eventstore.cli.session import Session
from eventstore.cli.times import show_time
from eventstore.moments.resolve import resolve_moment
from eventstore.moments.tags import list_tags, set_tag, tag_stream

if TYPE_CHECKING:
    from eventstore.log.events import Event

MOMENT: Final = (
    "a position, a time (2026-01-31T12:00+00:00, now-2h), git:COMMIT that was synced, or tag:NAME"
)

At = Annotated[str | None, typer.Option(metavar="MOMENT", help=f"As of {MOMENT}.")]

COLUMNS = ("tag", "position", "by", "given")


async def tag(
    session: Session,
    name: Annotated[
        str | None, typer.Argument(help="The tag's name, such as before-patch.")
    ] = None,
    moment: Annotated[str, typer.Argument(help=f"What it names: {MOMENT}.")] = "now",
    *,
    list_: Annotated[bool, typer.Option("--list", help="List the tags.")] = False,
    replace: Replace = False,
    by: By = None,
) -> None:
    """Give a moment a name, by default the present one; --list shows the names."""
    if (name is None) != list_:
        raise typer.BadParameter("give the name of a new tag, or --list alone")
    if name is None:
        await _show_tags(session)
        return
    tag_stream(name)
    async with session.open_store() as store:
        found = await resolve_moment(store, moment)
        await set_tag(store, name, found.position, by=user_name(by), replace=replace)
    session.output.value(
        {"tag": name, "position": found.position}, f"tag {name} is position {found.position}"
    )


async def _show_tags(session: Session) -> None:
    async with session.open_store() as store:
        found = await list_tags(store)
    for one in found:
        values = {**one._asdict(), "at": one.at.isoformat()}
        session.output.value(values, None)
    if found and not session.output.json:
        rows = [(one.name, str(one.position), one.by, show_time(one.at)) for one in found]
        session.output.table(COLUMNS, rows)
    elif not found:
        session.output.note("no tags yet: 'eventstore tag NAME' gives the present one")


def describe(event: Event) -> tuple[str, str] | None:
    """Describe the event that gives a moment a name."""
    data = event.data
    if not isinstance(data, dict):
        return None
    by = f" by {data['by']}" if data.get("by") else ""
    return "tagged", f"{data.get('name')} is position {data.get('position')}{by}"
