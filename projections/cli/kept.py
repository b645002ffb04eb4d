"""``rules keep``: the rules on this host's disk, for workers that start while the log is away."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eventstore.cli.options import parse_seconds
from eventstore.cli.output import without_secrets
from eventstore.cli.session import Session
from eventstore.errors import StorageError
from eventstore.system.time_text import show_age
from projections.rules.kept_rules import KeptRules, keep_rules
from projections.rules.model import RuleState

if TYPE_CHECKING:
    from projections.rules.model import RuleChange


async def keep(
    session: Session,
    directory: Annotated[Path, typer.Argument(help="The directory of the copy.")],
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Say how old the copy is, and end.")
    ] = False,
    within: Annotated[
        float | None,
        typer.Option(
            parser=parse_seconds,
            metavar="SECONDS",
            help="With --check: status 1 for an older copy.",
        ),
    ] = None,
) -> int:
    """Keep a copy of the rules on this host, for workers; start with it where the log is away.

    Workers read it in DIRECTORY/rules. One process at a time keeps a copy.
    """
    if within is not None and not check:
        raise typer.BadParameter("--within goes with --check")
    if check:
        age = await _show(session, KeptRules(directory))
        return int(within is not None and age > within)
    async with keep_rules(session.settings.url, directory, **session.store_options) as rules:
        await _show(session, rules)
        async for change in rules.subscribe_changes():
            _show_change(session, change, rules.position)
    return 0


async def _show(session: Session, rules: KeptRules) -> float:
    """Print what the copy is; return its age in seconds. Raises StorageError without a copy."""
    if rules.age is None:
        raise StorageError(
            str(rules.root.parent), "no copy of the rules yet: 'eventstore rules keep' makes one"
        )
    count = len(await rules.load_compiled())
    age = rules.age
    session.output.value(
        {
            "directory": without_secrets(str(rules.root)),
            "rules": count,
            "position": rules.position,
            "age_seconds": round(age, 3),
            "trouble": rules.log_trouble,
        },
        f"{rules.root} has {count} rule{'' if count == 1 else 's'} of position {rules.position}, "
        f"equal to the log {show_age(age)} ago",
    )
    return age


def _state_of(change: RuleChange) -> str:
    new = change.new_value
    if isinstance(new, RuleState):
        return new.state
    return "defined" if new.rule_version else "removed"


def _show_change(session: Session, change: RuleChange, position: int) -> None:
    now = _state_of(change)
    session.output.value(
        {"position": position, "rule_id": change.rule_id, "now": now},
        f"{position:>6}  {now:<8}  {change.rule_id}",
    )
