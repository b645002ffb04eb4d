"""``revert`` and ``undo``: the way back, by ordinary events."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import anyio
import typer

from eventstore.cli.moments import MOMENT
from eventstore.cli.options import By, Yes, user_name
from eventstore.cli.session import Session
from eventstore.cli.stream_keys import find_key
from eventstore.errors import EventStoreError
from eventstore.moments.resolve import resolve_moment
from projections.cli.diffs import show_differences
from projections.rules.events import RULES, STATES
from projections.rules.revert import check_unfollowed
from projections.rules.sources.put_back import check_files, put_back
from projections.seams.reverting import RevertError
from projections.undo import plan_target, plan_undo

if TYPE_CHECKING:
    from eventstore import EventStore
    from projections.rules.revert import Plan


@dataclass(frozen=True, slots=True)
class RevertOptions:
    """What is said of the events that restore, and whether files are put back too."""

    reason: Annotated[str, typer.Option(help="Why, for the metadata of the events.")] = ""
    by: By = None
    write: Annotated[
        bool,
        typer.Option("--write", help="Also put the files back in the directory of the source."),
    ] = False
    directory: Annotated[
        Path | None,
        typer.Option(help="With --write: the source's directory; default the source's name."),
    ] = None
    yes: Yes = False

    def __post_init__(self) -> None:
        if self.directory is not None and not self.write:
            raise typer.BadParameter("--directory goes with --write")


async def revert(
    session: Session,
    target: Annotated[
        str,
        typer.Argument(
            metavar="RULE|SOURCE|STREAM",
            help="A rule's id, a source's name, or a stream (rule-state/R1, bot/B1, memory/M1).",
        ),
    ],
    *,
    to: Annotated[str, typer.Option(metavar="MOMENT", help=f"As of {MOMENT}.")],
    options: RevertOptions,
) -> None:
    """Restore a rule, all rules of a source, or a stream, as of a moment: one commit of events.

    The states of rules stay, unless the stream of a state is named.
    """
    async with session.open_store() as store:
        moment = await resolve_moment(store, to)
        if "/" not in target:
            target = await find_key(store, (RULES, STATES), target)
        by, reason = user_name(options.by), options.reason
        plan = await plan_target(store, target, moment.position, by=by, reason=reason)
        restoration = _Restoration(session, store, target, options)
        nothing = f"nothing to revert: {target} is as it was at {moment}"
        await restoration.go(plan, f"Revert {target} to {moment}?", nothing)


async def undo(
    session: Session,
    position: Annotated[int, typer.Argument(min=1, help="A position within the commit.")],
    *,
    options: RevertOptions,
) -> None:
    """Undo one commit: restore what stood before it, where nothing of it has changed since."""
    async with session.open_store() as store:
        plan = await plan_undo(store, position, by=user_name(options.by), reason=options.reason)
        target = f"the commit at position {position}"
        restoration = _Restoration(session, store, target, options)
        nothing = f"nothing to undo: {target} changed nothing that stands"
        await restoration.go(plan, f"Undo {target}?", nothing)


class _Restoration:
    """Shows a plan, asks, appends it, and puts files back."""

    def __init__(
        self, session: Session, store: EventStore, target: str, options: RevertOptions
    ) -> None:
        self._session = session
        self._store = store
        self._target = target
        self._options = options

    async def go(self, plan: Plan, question: str, nothing: str) -> None:
        """Do what is planned, after showing it; ``question`` is asked on a terminal.

        ``nothing`` is said where the plan is empty.
        """
        output = self._session.output
        if not plan.writes:
            output.value({"target": self._target, "position": None, "events": 0}, nothing)
            return
        if not self._options.write:
            await check_unfollowed(self._store, self._target, plan)
        places = self._places(plan) if self._options.write else {}
        for root, source in places.items():
            await anyio.to_thread.run_sync(check_files, root, plan.files[source])
        if not output.json:
            show_differences(output, plan.differences)
        if not self._options.yes and output.can_ask:
            output.ask(question)
        done = await self._store.append_many(plan.writes)
        written = await self._put_back(plan, places, done.position)
        events = len(plan.writes)
        files = f", {written} file{'' if written == 1 else 's'} written" if places else ""
        output.value(
            {
                "target": self._target,
                "position": done.position,
                "events": events,
                "files": written,
            },
            f"{self._target}: restored by {events} event{'' if events == 1 else 's'}, "
            f"position {done.position}{files}",
        )
        if (note := plan.note()) and not places:
            output.note(f"note: {note}: put them back too (--write)")

    async def _put_back(self, plan: Plan, places: dict[Path, str], position: int) -> int:
        """Put the files back; where that fails, say that the events are appended all the same."""
        written = 0
        try:
            for root, source in places.items():
                work = partial(put_back, root, plan.files[source])
                written += await anyio.to_thread.run_sync(work)
        except (EventStoreError, OSError):
            note = f"note: the events are appended, up to position {position}, but not all files"
            self._session.output.note(f"{note} are written: {plan.note()}")
            raise
        return written

    def _places(self, plan: Plan) -> dict[Path, str]:
        """Return the directory of each source whose files are put back."""
        if self._options.directory is not None and len(plan.files) > 1:
            named = ", ".join(sorted(plan.files))
            raise RevertError(self._target, f"--directory is one, and these are several: {named}")
        found = {}
        for source in plan.files:
            root = self._options.directory or Path(source)
            if not root.is_absolute() and self._options.directory is None:
                reason = f"source {source!r} is not named by its directory: give --directory"
                raise RevertError(self._target, reason)
            found[root.absolute()] = source
        return found
