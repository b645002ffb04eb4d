"""``hold`` and ``release``: rules that stay as of a moment, and the section of ``status``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from eventstore.cli.manifest import StatusEntry
from eventstore.cli.moments import MOMENT
from eventstore.cli.options import By, user_name
from eventstore.cli.session import Session
from eventstore.cli.times import show_time
from eventstore.errors import InvalidInputError
from eventstore.moments.resolve import resolve_moment
from projections.rules.holds import hold_rules, read_hold, release_rules
from projections.rules.rules_at import read_rules_at

if TYPE_CHECKING:
    from eventstore import Event, EventStore

Reason = Annotated[str, typer.Option(help="Why.")]


async def hold(
    session: Session,
    moment: Annotated[str, typer.Argument(help=f"{MOMENT}; by default now.")] = "now",
    *,
    reason: Reason = "",
    allow_empty: Annotated[
        bool, typer.Option("--allow-empty", help="Also where no rule stood at that moment.")
    ] = False,
    by: By = None,
) -> None:
    """Hold the rules of all workers at those of a moment, until they are released.

    Definitions that come meanwhile wait; states go through.
    """
    async with session.open_store() as store:
        found = await resolve_moment(store, moment)
        if not allow_empty and not (await read_rules_at(store, found.position)).definitions():
            reason = "no rule stood then, and all workers would have none: see --allow-empty"
            raise InvalidInputError(f"moment {found}", reason)
        done = await hold_rules(store, found.position, by=user_name(by), reason=reason)
    session.output.value(
        {"held": found.position, "position": done.position},
        f"rules are held at {found}: 'eventstore release' lets them go",
    )


async def release(session: Session, *, reason: Reason = "", by: By = None) -> None:
    """Let workers follow the rules again; status 1 where they are not held."""
    async with session.open_store() as store:
        done = await release_rules(store, by=user_name(by), reason=reason)
    session.output.value(
        {"held": None, "position": done.position}, "rules are followed again by all workers"
    )


async def holds(store: EventStore) -> list[StatusEntry]:
    """Return the hold that is in force."""
    found = await read_hold(store)
    if found is None:
        return []
    values: dict[str, object] = {**found._asdict(), "at": found.at.isoformat()}
    line = f"rules are held at position {found.position} since {show_time(found.at)}"
    line += _said(found.by, found.reason)
    return [StatusEntry("rules", values, line)]


def held_line(event: Event) -> tuple[str, str] | None:
    """Describe the beginning of a hold."""
    data = event.data
    if not isinstance(data, dict):
        return None
    said = _said(data.get("by"), data.get("reason"))
    return "held", f"rules at position {data.get('position')}{said}"


def released_line(event: Event) -> tuple[str, str] | None:
    """Describe the end of a hold."""
    data = event.data
    if not isinstance(data, dict):
        return None
    return "released", f"rules{_said(data.get('by'), data.get('reason'))}"


def _said(by: object, reason: object) -> str:
    return (f" by {by}" if by else "") + (f": {reason}" if reason else "")
