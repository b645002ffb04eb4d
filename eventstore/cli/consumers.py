"""``wait``: how far the consumers have come."""

from __future__ import annotations

from typing import Annotated

import typer

from eventstore.cli.session import Session


async def wait(
    session: Session,
    position: Annotated[
        int | None,
        typer.Argument(min=0, help="The position of the change; default the head."),
    ] = None,
    *,
    consumer: Annotated[
        list[str] | None,
        typer.Option(help="Wait for this consumer; may be given again. Default: all of them."),
    ] = None,
    timeout: Annotated[float, typer.Option(min=0, help="Give up after so many seconds.")] = 30.0,
) -> None:
    """Wait until every consumer has processed a change; status 1 if one rejects it or is late."""
    async with session.open_store() as store:
        if position is None:
            position = (await store.head()).position
        states = await store.wait_applied(position, consumer, timeout=timeout)
    names = [state.name for state in states]
    session.output.value(
        {"position": position, "consumers": names},
        f"position {position} is done by {', '.join(names)}"
        if names
        else f"position {position} is done: there are no consumers",
    )
