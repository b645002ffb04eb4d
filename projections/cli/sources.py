"""``source``: what an operator does to a source by its name."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eventstore.cli.session import Session
from projections.cli.rule_options import By
from projections.rules.sources.renaming import rename_source
from projections.rules.standing_rules import StandingRules

if TYPE_CHECKING:
    from eventstore import EventStore


class Action(str, Enum):  # noqa: UP042 - typer reads it
    """What can be done to a source."""

    RENAME = "rename"


async def source(
    session: Session,
    action: Annotated[Action, typer.Argument(help="What to do: rename.")],
    old: Annotated[
        str, typer.Argument(help="The source's name now, as status shows it, or its directory.")
    ],
    new: Annotated[str, typer.Argument(help="Its new name.")],
    *,
    by: By = None,
) -> None:
    """Rename a source, with its rules and rejections; no rule is removed or defined again.

    A source is named by its directory's path unless --source names it. No master may follow it.
    """
    async with session.open_store() as store:
        old = await _known_name(store, old)
        rules, rejections = await rename_source(store, old, new, by=by)
    session.output.value(
        {"action": action.value, "old": old, "new": new, "rules": rules, "rejections": rejections},
        f"source {old} is {new} now: {rules} rule{'' if rules == 1 else 's'}, "
        f"{rejections} rejection{'' if rejections == 1 else 's'}",
    )


async def _known_name(store: EventStore, name: str) -> str:
    """Return a source's name as the log has it; a path may be written as ``sync`` takes it."""
    standing = StandingRules(name)
    await standing.refresh(store)
    known = {rule.source for rule in standing.rules.values()}
    known |= {source for source, files in standing.rejected.items() if files}
    path = str(Path(name).absolute())  # noqa: ASYNC240 - it reads no file
    return path if name not in known and path in known else name
