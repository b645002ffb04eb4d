"""``diff``: what differs between two moments, with the diffs of the files."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Final

import typer

from eventstore.cli.diff_styles import styled_diff
from eventstore.cli.moments import MOMENT
from eventstore.cli.session import Session
from eventstore.cli.stream_keys import find_key
from eventstore.errors import InvalidInputError
from eventstore.moments.resolve import resolve_moment
from projections.rules.differences import KINDS, compare_rules, count_lines
from projections.rules.events import RULES, STATES
from projections.rules.rules_at import read_changes, read_rules_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventstore.cli.output import Output
    from eventstore.moments.resolve import Moment
    from projections.rules.differences import RuleDifference


async def diff(
    session: Session,
    a: Annotated[str, typer.Argument(metavar="A", help=f"The earlier moment: {MOMENT}.")],
    b: Annotated[str, typer.Argument(metavar="B", help="The later one; by default now.")] = "now",
    *,
    rule: Annotated[str | None, typer.Option(help="Only the rule with this id.")] = None,
    stat: Annotated[bool, typer.Option("--stat", help="Lines and files, without diffs.")] = False,
) -> None:
    """Show the rules that were added, removed, changed or moved, and states, between moments."""
    async with session.open_store() as store:
        before, after = [await resolve_moment(store, one) for one in (a, b)]
        rule_id = None if rule is None else await find_key(store, (RULES, STATES), rule)
        places = before.position, after.position
        if rule_id is None:
            rules = await read_changes(store, *places)
        else:  # Whether it was there at all counts too.
            rules = await read_rules_at(store, places[0]), await read_rules_at(store, places[1])
    if rule_id is not None and not any(
        category + rule_id in one.versions for one in rules for category in (RULES, STATES)
    ):
        reason = f"was there neither at {before} nor at {after}"
        raise InvalidInputError(f"rule {rule_id!r}", reason)
    found = [one for one in compare_rules(*rules) if rule_id in {None, one.rule_id}]
    show_differences(session.output, found, stat=stat)
    session.output.line(summary(found, before, after))


def show_differences(
    output: Output, found: Sequence[RuleDifference], *, stat: bool = False
) -> None:
    """Print what differs: a line for each rule, and unless ``stat`` the diffs of their files."""
    shown: set[tuple[str | None, str | None]] = set()
    for one in found:
        lines = one.diff()
        output.value(one.values(lines, stat=stat), None)
        output.styled([(_headline(one, lines), "bold")])
        if stat or (one.paths in shown and one.kind != "state"):
            continue  # Of the rules of one file the first shows its diff.
        shown.add(one.paths)
        if lines:
            output.styled(styled_diff(lines))


def summary(found: Sequence[RuleDifference], before: Moment, after: Moment) -> str:
    """Return how many rules differ, by kind."""
    counts = Counter(one.kind for one in found)
    said = ", ".join(f"{counts[kind]} {_WORDS[kind]}" for kind in KINDS if counts[kind])
    return f"{said or 'nothing differs'} between {before} and {after}"


_WORDS: Final = {kind: kind for kind in KINDS} | {"state": "with another state"}


def _headline(one: RuleDifference, lines: list[str]) -> str:
    if one.state_after is not None and one.state_before is not None:
        states = f"{one.state_before.state} -> {one.state_after.state}"
        return f"{one.kind:<8} {one.rule_id}  {states}"
    was, now = one.paths
    path = f"{was} -> {now}" if was and now and was != now else now or was
    added, removed = count_lines(lines)
    return f"{one.kind:<8} {one.rule_id}  {path}  +{added} -{removed}"
