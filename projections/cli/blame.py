"""``blame``: who wrote each line of a rule, when and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from eventstore.cli.moments import At
from eventstore.cli.session import Session
from eventstore.cli.stream_keys import find_key
from eventstore.cli.times import show_time
from eventstore.moments.resolve import resolve_moment
from projections.rules.blame import blame_rule
from projections.rules.events import RULES

if TYPE_CHECKING:
    from projections.rules.blame import BlamedLine

WIDTH = 24
"""Characters that are shown of who, and of why."""


async def blame(
    session: Session,
    rule: Annotated[str, typer.Argument(help="The rule's id.")],
    *,
    at: At = None,
) -> None:
    """Show each line of a rule's file with the change that brought it: who, when and why."""
    async with session.open_store() as store:
        moment = await resolve_moment(store, "now" if at is None else at)
        rule_id = await find_key(store, (RULES,), rule.removeprefix(RULES))
        lines = await blame_rule(store, rule_id, moment.position)
    for line in lines:
        session.output.value(line.values(), _line(line))


def _line(line: BlamedLine) -> str:
    commit = (line.commit or "")[:8]
    who, why = _short(line.who), _short(line.why)
    shown = f"{line.position:>6} {commit:<8} {show_time(line.at)} {who} {why}"
    return f"{shown} {line.number:>4}  {line.text}"


def _short(text: str | None) -> str:
    text = text or ""
    return f"{text[: WIDTH - 1]}…" if len(text) > WIDTH else f"{text:<{WIDTH}}"
