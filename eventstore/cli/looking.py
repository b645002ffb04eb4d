"""Commands that look at the log, and the one that sets a rule's state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from eventstore.cli.render import describe, rule_table
from eventstore.errors import HistoryGoneError, InvalidInputError
from projections.rules import CompiledRule, RuleReplica, RuleState, RuleStore
from projections.rules.events import RULES, STATES
from projections.rules.model import encode_rule, encode_state

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path
    from typing import Any

    from eventstore.cli.run import Session
    from projections.rules.model import StateName


@dataclass(frozen=True, slots=True)
class Tail:
    """What the command line says about following."""

    after: int | None
    consumer: str | None
    streams: str | None
    follow: bool
    kept: bool
    skip_gone: bool


async def tail(session: Session, what: Tail) -> None:
    """Print changes as they come; with a consumer, resume where it left off."""
    async with session.open_store() as store:
        after = what.after
        if after is None:
            after = 0 if what.kept else (await store.head()).first_position - 1
        if what.skip_gone and what.consumer is not None:
            await store.skip_gone(what.consumer)
        changes = store.subscribe_changes(
            after=after,
            streams=what.streams,
            consumer=what.consumer,
            follow=what.follow,
            kept=what.kept,
        )
        async with changes:
            try:
                async for event in changes:
                    session.show(event.to_dict(), describe(event))
            except HistoryGoneError as gone:
                raise HistoryGoneError(gone.after, gone.first_position, _ADVICE) from gone


_ADVICE: Final = (
    "--kept goes on with what was kept of them, and for a named consumer --skip-gone passes "
    "them over"
)


async def rules(session: Session, replica: Path | None) -> None:
    """List the rules that stand in the log, or in a projected directory."""
    if replica is not None:
        found = await RuleReplica(replica).load_compiled()
    else:
        async with session.open_store() as store:
            found = await RuleStore(store).load_compiled()
    if session.json:
        for rule in found:
            session.show(_rule_values(rule), "")
    elif found:
        session.show(None, rule_table(found))
    else:
        session.say("no rules yet: sync a directory with 'eventstore sync DIR --once'")


def _rule_values(rule: CompiledRule) -> dict[str, Any]:
    return {**encode_rule(rule), "state": encode_state(rule.state)}


@dataclass(frozen=True, slots=True)
class NewState:
    """What the command line says about a state."""

    state: StateName
    confidence_max: float | None
    expires_at: datetime | None
    reason: str | None
    by: str


async def set_state(session: Session, rule_id: str, new: NewState) -> None:
    """Set a rule's state and show it as it was stored."""
    if new.confidence_max is not None and new.state != "clipped":
        raise InvalidInputError("--confidence-max", "goes with the state 'clipped' only")
    state = RuleState(new.state, new.confidence_max, new.expires_at, new.reason)
    async with session.open_store() as store:
        await RuleStore(store).set_state(rule_id, state, new.by)
        rule = store.read(streams=RULES + rule_id, limit=1, kept=True)
        exists = [event async for event in rule]
        stored = [
            event async for event in store.read_stream(STATES + rule_id, backwards=True, limit=1)
        ]
    session.show(stored[0].to_dict(), describe(stored[0]))
    if not exists:
        session.say(f"note: there is no rule {rule_id!r} yet; the state waits for it")


async def history(session: Session, stream: str) -> None:
    """Show a stream's events, or for a bare rule id those of the rule and its state."""
    streams = [stream] if "/" in stream else [RULES + stream, STATES + stream]
    async with session.open_store() as store:
        events = [event for name in streams async for event in store.read(streams=name, kept=True)]
    if not events:
        raise InvalidInputError(f"stream {stream!r}", "has no events; 'eventstore tail' shows all")
    for event in sorted(events, key=lambda event: event.position):
        session.show(event.to_dict(), describe(event))


async def wait(
    session: Session, position: int | None, consumers: Sequence[str], timeout: float
) -> None:
    """Wait until every consumer has done, and accepted, what is at a position, or all of it."""
    async with session.open_store() as store:
        if position is None:
            position = (await store.head()).position
        states = await store.wait_applied(position, consumers or None, timeout=timeout)
    names = [state.name for state in states]
    session.show(
        {"position": position, "consumers": names},
        f"position {position} is done by {', '.join(names) or 'nobody: there are no consumers'}",
    )
