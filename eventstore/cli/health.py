"""What the log, its followers and its masters are doing, and whether some of them are well."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import anyio

from eventstore.cli.render import fact_table
from eventstore.errors import EventStoreError
from eventstore.store.status import describe_consumer
from projections.rules.sources.lease import source_owners

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from eventstore.cli.run import Session
    from eventstore.store.event_store import EventStore

LISTEN_SECONDS: Final = 6.0
"""How long ``status`` waits for the notifier's server to answer: longer than that may take."""


class UnwellError(EventStoreError):
    """Some of what was checked is not as it should be; ``faults`` has a sentence for each."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = tuple(faults)


@dataclass(frozen=True, slots=True)
class Checks:
    """Which consumers and sources are to be well; ``within`` is a lag in seconds."""

    consumers: Sequence[str]
    sources: Sequence[str]
    within: float

    def __bool__(self) -> bool:
        return bool(self.consumers or self.sources)


async def status(session: Session) -> None:
    """Show what an operator asks first."""
    async with session.open_store() as store:
        await _listen(store)
        facts = await store.status()
        sources = [source._asdict() for source in await source_owners(store)]
    consumers = facts.pop("consumers")
    if session.json:
        session.show({**facts, "consumers": consumers, "sources": sources}, "")
        return
    session.show(None, fact_table(facts.items()))
    for consumer in consumers:
        session.say(_consumer_line(consumer))
    for source in sources:
        session.say(_source_line(source))


async def check(session: Session, checks: Checks) -> None:
    """Show the consumers and sources that are to be checked.

    Raises UnwellError where a process is known to be gone, a consumer is too far behind, or
    nobody follows a source as it should be. What it asks of the log does not grow with the
    number of other consumers.
    """
    faults = []
    async with session.open_store() as store:
        head = await store.head()
        states = {state.name: state for state in await store.consumers()}
        for name in checks.consumers:
            if (state := states.get(name)) is None:
                faults.append(f"consumer {name!r} was never seen")
                continue
            consumer = await describe_consumer(store.feed.log, state, head, store.clock())
            session.show(consumer, _consumer_line(consumer))
            faults += _consumer_faults(consumer, checks.within)
        sources = {source.name: source for source in await source_owners(store)}
        for name in checks.sources:
            if (source := sources.get(name)) is None:
                faults.append(f"source {name!r} is followed by nobody")
                continue
            session.show(source._asdict(), _source_line(source._asdict()))
            faults += [f"source {name!r}: {source.trouble}"] if source.trouble else []
    if faults:
        raise UnwellError(faults)


async def _listen(store: EventStore) -> None:
    """Return once it is known whether this store can be woken, or after a while."""
    store.feed.listen()
    with anyio.move_on_after(LISTEN_SECONDS):
        while not _is_decided(store.feed.notifier_facts()):  # noqa: ASYNC110
            await anyio.sleep(0.01)  # The notifier's thread has no event to wait for.


def _is_decided(facts: dict[str, str | int]) -> bool:
    return bool(facts.get("listening", True)) or "trouble" in facts


def _consumer_faults(consumer: dict[str, Any], within: float) -> list[str]:
    faults = []
    if _is_gone(consumer["owner"]):
        faults.append(f"consumer {consumer['name']!r}: its process {consumer['owner']} is gone")
    if consumer["lag"] and consumer["lag_seconds"] > within:
        faults.append(f"consumer {consumer['name']!r} is {_lag(consumer)}")
    return faults


def _is_gone(owner: str) -> bool:
    """Return whether an owner, ``HOST:PID``, was on this host and is not there any more."""
    host, _, pid = owner.rpartition(":")
    if host != socket.gethostname() or not pid.isdecimal():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # Somebody else's, and there.
        return False
    return False


def _consumer_line(consumer: dict[str, Any]) -> str:
    last = consumer["last_rejection"]
    rejected = ""
    if last:
        rejected = f"; {consumer['rejections']} rejected, last {last['position']}: {last['reason']}"
    return (
        f"consumer {consumer['name']}: position {consumer['position']}, {_lag(consumer)}, "
        f"seen {consumer['seen_seconds_ago']} s ago, {consumer['owner']}{rejected}"
    )


def _source_line(source: dict[str, Any]) -> str:
    trouble = f"; {source['trouble']}" if source["trouble"] else ""
    return f"source {source['name']}: followed by {source['owner']}{trouble}"


def _lag(consumer: dict[str, Any]) -> str:
    if not consumer["lag"]:
        return "up to date"
    return f"{consumer['lag']} behind, by {consumer['lag_seconds']} s"
