"""``rules`` and ``state``: the current rules, and their operational states."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from eventstore.cli.event_lines import show_event
from eventstore.cli.moments import At
from eventstore.cli.options import By, user_name
from eventstore.cli.session import Session
from eventstore.cli.stream_keys import find_key
from eventstore.cli.times import now, show_time
from eventstore.errors import InvalidInputError
from eventstore.log.names import check_stream
from eventstore.moments.resolve import resolve_moment
from eventstore.system.time_text import parse_duration, parse_time, shifted
from projections.rules import CompiledRule, RuleReplica, RuleState, RuleStore
from projections.rules.events import RULES, STATES
from projections.rules.model import encode_rule, encode_state
from projections.rules.rules_at import read_rules_at

if TYPE_CHECKING:
    from datetime import datetime

COLUMNS = ("rule", "version", "state", "name", "set by", "until", "reason")


async def rules(
    session: Session,
    *,
    replica: Annotated[
        Path | None,
        typer.Option("--from", help="A projected directory, or a copy of one, instead of a log."),
    ] = None,
    at: At = None,
) -> None:
    """List the rules with their states, now or as of a moment."""
    if replica is not None and at is not None:
        raise typer.BadParameter("--at goes without --from: a directory has no history")
    if at is not None:
        async with session.open_store() as store:
            moment = await resolve_moment(store, at)
            found = (await read_rules_at(store, moment.position)).compiled()
    elif replica is not None:
        found = await RuleReplica(replica).load_compiled()
    else:
        async with session.open_store() as store:
            found = await RuleStore(store).load_compiled()
    nothing = "no rules yet: sync a directory with 'eventstore sync DIR --once'"
    if at is not None:
        nothing = f"there were no rules at {at}"
    session.output.listing(found, _values, COLUMNS, _row, nothing)


def _values(rule: CompiledRule) -> dict[str, object]:
    return {**encode_rule(rule), "state": encode_state(rule.state)}


def _row(rule: CompiledRule) -> tuple[str, ...]:
    state = rule.state
    shown: str = state.state
    if state.confidence_max is not None:
        shown = f"{shown} to {state.confidence_max}"
    return (
        rule.rule_id,
        str(rule.rule_version),
        shown,
        rule.name,
        state.set_by or "",
        show_time(state.expires_at) if state.expires_at else "",
        state.reason or "",
    )


async def state(
    session: Session,
    rule: Annotated[str, typer.Argument(help="The rule's id; it need not exist yet.")],
    state: Annotated[Literal["enabled", "disabled", "clipped"], typer.Argument()],
    *,
    reason: Annotated[str | None, typer.Option(help="Why.")] = None,
    until: Annotated[
        str | None,
        typer.Option(help="When it ends: 2026-01-31T12:00+00:00, or from now: 30m, 2h, 7d."),
    ] = None,
    confidence_max: Annotated[
        float | None,
        typer.Option(help="For clipped: the highest confidence that findings keep."),
    ] = None,
    by: By = None,
) -> None:
    """Set the operational state of a rule; every worker receives it at once."""
    expires_at = _parse_until(until) if until is not None else None
    _check_cap(state, confidence_max)
    new = RuleState(state, confidence_max, expires_at, reason)
    check_stream(STATES + rule)  # Before a log is made for it.
    async with session.open_store(create=True) as store:
        rule = await find_key(store, (RULES, STATES), rule)
        await RuleStore(store).set_state(rule, new, user_name(by))
        defined = store.read(streams=RULES + rule, limit=1, kept=True)
        exists = [event async for event in defined]
        last = store.read_stream(STATES + rule, backwards=True, limit=1)
        (stored,) = [event async for event in last]
    show_event(session.output, stored)
    if not exists:
        session.output.line(f"note: there is no rule {rule!r} yet; the state waits for it")


def _check_cap(state: str, cap: float | None) -> None:
    """Refuse a cap that says nothing: without clipping, or none with it, or no confidence."""
    if cap is not None and state != "clipped":
        raise InvalidInputError("--confidence-max", "goes with the state 'clipped' only")
    if state == "clipped" and (cap is None or not 0 <= cap <= 1):
        given = "it is missing" if cap is None else f"{cap} is not"
        raise InvalidInputError("--confidence-max", f"clipped needs a number from 0 to 1; {given}")


def _parse_until(text: str) -> datetime:
    start = now()
    if (duration := parse_duration(text)) is not None:
        moment = shifted(start, duration)
        if moment is None:
            raise InvalidInputError("--until", f"{text!r} ends after the year 9999")
    else:
        moment = parse_time(text)
    if moment is None:
        raise typer.BadParameter(
            f"{text!r} is neither a time such as 2026-01-31T12:00+00:00 nor a duration such as 2h"
        )
    if moment <= start:
        raise InvalidInputError("--until", f"{text!r} has passed: a state ends in the future")
    return moment
