"""``consumers`` and ``wait``: the named consumers, and how far they have come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from eventstore.cli.options import By, parse_seconds, user_name
from eventstore.cli.session import Session
from eventstore.errors import InvalidInputError
from eventstore.log.operations import Query
from eventstore.store.applied import wait_applied
from eventstore.store.status import seconds_between
from eventstore.system.time_text import show_age

if TYPE_CHECKING:
    from eventstore.log.operations import ConsumerState, Head
    from eventstore.store.event_store import EventStore

COLUMNS = ("consumer", "position", "behind", "since", "seen", "owner")

Name = Annotated[str, typer.Argument(help="The consumer; after -- where it begins with a dash.")]


async def consumers(session: Session) -> None:
    """List the named consumers, those that are furthest behind first.

    "behind" counts events, "since" says for how long the first of them has waited, "seen" how
    long ago the consumer last stored where it is.
    """
    async with session.open_store() as store:
        head = await store.head()
        states = await store.consumers()
        states.sort(key=lambda state: (state.cursor.position, state.name))
        waiting = await _waiting_since(store, head, states)
        listed = [_describe(state, head, waiting, store.clock()) for state in states]
    nothing = "no consumers: one begins with 'eventstore tail --consumer NAME'"
    session.output.listing(listed, dict, COLUMNS, _row, nothing)


async def _waiting_since(
    store: EventStore, head: Head, states: list[ConsumerState]
) -> dict[int, int]:
    """Return when the first event after each position was recorded, in microseconds."""
    first = head.first_position - 1
    found: dict[int, int] = {}
    for position in {state.cursor.position for state in states}:
        if position < head.position:
            after = max(position, first)
            page = await store.feed.page(Query(after=after, until=after + 1, limit=1))
            found[position] = page.events[0].recorded_us
    return found


def _describe(
    state: ConsumerState, head: Head, waiting: dict[int, int], now: int
) -> dict[str, Any]:
    position = state.cursor.position
    return {
        "name": state.name,
        "position": position,
        "lag": head.position - position,
        "lag_seconds": seconds_between(waiting.get(position, now), now),
        "seen_seconds_ago": seconds_between(state.seen_us, now),
        "owner": state.owner,
    }


def _row(values: dict[str, Any]) -> tuple[str, ...]:
    lag = values["lag"]
    return (
        values["name"],
        str(values["position"]),
        str(lag) if lag else "-",
        show_age(values["lag_seconds"]) if lag else "-",
        f"{show_age(values['seen_seconds_ago'])} ago",
        values["owner"],
    )


async def remove(session: Session, name: Name, *, by: By = None) -> None:
    """Remove a consumer: it no longer holds back trims and waits, and begins anew if opened."""
    async with session.open_store() as store:
        state = await store.remove_consumer(name, by=user_name(by))
    session.output.value(
        {"name": name, "position": state.cursor.position, "owner": state.owner},
        f"consumer {name} is removed; it was at position {state.cursor.position}",
    )


async def rewind(
    session: Session,
    name: Name,
    *,
    to: Annotated[int, typer.Option(min=0, help="The position after which it goes on.")],
    by: By = None,
) -> None:
    """Move a consumer back, so that it gets the events after a position again."""
    async with session.open_store() as store:
        state = await store.rewind_consumer(name, to=to, by=user_name(by))
    session.output.value(
        {"name": name, "position": state.cursor.position},
        f"consumer {name} goes on after position {state.cursor.position}; "
        "a subscription that has it open ends",
    )


async def wait(
    session: Session,
    position: Annotated[
        int | None,
        typer.Argument(min=0, help="The position of the change; default the head."),
    ] = None,
    *,
    consumer: Annotated[
        list[str] | None,
        typer.Option(help="Wait for this consumer; may be given again."),
    ] = None,
    view: Annotated[
        list[str] | None,
        typer.Option(help="Wait for this view; may be given again."),
    ] = None,
    timeout: Annotated[
        float,
        typer.Option(
            parser=parse_seconds, metavar="SECONDS", help="Give up after so many seconds."
        ),
    ] = 30.0,
    allow_none: Annotated[
        bool, typer.Option("--allow-none", help="Without any consumers, end with status 0.")
    ] = False,
) -> None:
    """Wait until every consumer has processed a change; status 1 if one rejects it or is late.

    Views that a runner follows are waited for as consumers are, those in other databases as their
    runners tell the log. Where some are named, these are all. One that is named and not known is
    waited for too.
    """
    async with session.open_store() as store:
        if position is None:
            position = (await store.head()).position
        done = await wait_applied(store.feed.log, position, consumer, view, timeout)
    names, views = ([state.name for state in states] for states in done)
    if not (names or views) and not allow_none:
        reason = "there are none to wait for: name one with --consumer, or give --allow-none"
        raise InvalidInputError("consumers", reason)
    session.output.value(
        {"position": position, "consumers": names, "views": views},
        f"position {position} is done by {', '.join([*names, *(f'view {one}' for one in views)])}"
        if names or views
        else f"position {position} is done: there are no consumers",
    )
