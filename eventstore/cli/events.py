"""``tail`` and ``history``: the events of the log, or of one stream."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import anyio
import typer

from eventstore.cli.contributions import contributions
from eventstore.cli.diff_styles import styled_diff
from eventstore.cli.event_lines import diff_of, has_diff, show_event
from eventstore.cli.metrics import Address, MetricsEndpoint
from eventstore.cli.options import WaitForLog
from eventstore.cli.session import Session
from eventstore.cli.stream_keys import Stream, read_named
from eventstore.errors import HistoryGoneError
from eventstore.log.events import OLDEST

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from eventstore.changes.subscription import Subscription
    from eventstore.log.events import Event
    from eventstore.store.event_store import EventStore

_ADVICE: Final = (
    "--kept goes on with what was kept of them, and for a named consumer --skip-gone passes "
    "them over"
)


After = Annotated[
    int | None, typer.Option(min=0, help="Start after this position; default at the beginning.")
]
Consumer = Annotated[
    str | None, typer.Option(help="Store the position under this name, and resume there.")
]
NoFollow = Annotated[bool, typer.Option("--no-follow", help="End at the head.")]
Kept = Annotated[
    bool, typer.Option("--kept", help="Where history was trimmed, go on with what was kept of it.")
]
SkipGone = Annotated[
    bool, typer.Option("--skip-gone", help="Where history was trimmed, go on with what is left.")
]


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events of the log a command is for."""

    streams: Annotated[
        str | None, typer.Option(help="Only a category (rule/) or one stream (rule/R1).")
    ] = None
    types: Annotated[
        list[str] | None, typer.Option(help="Only events of this type; may be given again.")
    ] = None
    exclude_streams: Annotated[
        list[str] | None, typer.Option(help="Not this category or stream; may be given again.")
    ] = None
    exclude_types: Annotated[
        list[str] | None, typer.Option(help="No events of this type; may be given again.")
    ] = None


async def tail(
    session: Session,
    *,
    after: After = None,
    consumer: Consumer = None,
    events: EventFilter,
    no_follow: NoFollow = False,
    kept: Kept = False,
    skip_gone: SkipGone = False,
    wait_for_log: WaitForLog = 0.0,
    metrics: Address = None,
) -> None:
    """Print events as they are appended; a named consumer resumes where it left off."""
    if skip_gone and (consumer is None or kept):
        raise typer.BadParameter("--skip-gone goes with --consumer NAME, and not with --kept")
    endpoint = MetricsEndpoint(session, metrics)
    await session.wait_for_log(wait_for_log)
    async with endpoint, session.open_store() as store, endpoint.serving(store):
        if skip_gone and consumer is not None:
            await store.skip_gone(consumer)
        changes = store.subscribe_changes(
            after=OLDEST if after is None else after,
            **asdict(events),
            consumer=consumer,
            follow=not no_follow,
            kept=kept,
        )
        whole = not any(asdict(events).values()) and not no_follow
        async with changes, _beside(store, changes, consumer if whole else None) as companions:
            try:
                async for event in changes:
                    show_event(session.output, event)
                    for companion in companions:
                        companion.saw(event)
            except HistoryGoneError as gone:
                raise HistoryGoneError(gone.after, gone.first_position, _ADVICE) from gone


@asynccontextmanager
async def _beside(
    store: EventStore, changes: Subscription, consumer: str | None
) -> AsyncIterator[list[Any]]:
    """Run what packages run beside a named consumer that gets every event."""
    known = contributions().tail_companions if consumer is not None else []
    found = [one.load(one.item.path)(store, consumer, changes.position) for one in known]
    for companion in found:
        await companion.begin()
    failed: Exception | None = None
    async with anyio.create_task_group() as tasks:
        for companion in found:
            tasks.start_soon(companion.run)
        try:
            yield found
        except Exception as error:
            failed = error  # Raised as it is, and not in a group of the tasks here.
        tasks.cancel_scope.cancel()
    if failed is not None:
        raise failed


async def history(
    session: Session,
    stream: Stream,
    *,
    diff: Annotated[
        bool, typer.Option("--diff", help="Show what each change did to the file of a rule.")
    ] = False,
) -> None:
    """Show all events of one stream, in order."""
    events = await read_named(session, stream, "'eventstore tail' shows all")
    last: dict[str, Event] = {}
    for event in sorted(events, key=lambda event: event.position):
        if not diff:
            show_event(session.output, event)
            continue
        lines = diff_of(last.get(event.stream), event)
        if has_diff(event):
            last[event.stream] = event
        show_event(session.output, event, diff=lines)
        if lines:
            session.output.styled(styled_diff(lines))
