"""``source``: what an operator does to a source by its name."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from eventstore.cli.session import Session
from projections.cli.rule_options import By
from projections.rules.sources.renaming import rename_source


class Action(str, Enum):  # noqa: UP042 - typer reads it
    """What can be done to a source."""

    RENAME = "rename"


async def source(
    session: Session,
    action: Annotated[Action, typer.Argument(help="What to do: rename.")],
    old: Annotated[str, typer.Argument(help="The source's name now, as status shows it.")],
    new: Annotated[str, typer.Argument(help="Its new name.")],
    *,
    by: By = None,
) -> None:
    """Rename a source, with its rules and rejections; no rule is removed or defined again.

    A source is named by its directory's path unless --source names it. No master may follow it.
    """
    async with session.open_store() as store:
        rules, rejections = await rename_source(store, old, new, by=by)
    session.output.value(
        {"action": action.value, "old": old, "new": new, "rules": rules, "rejections": rejections},
        f"source {old} is {new} now: {rules} rules, {rejections} rejections",
    )
