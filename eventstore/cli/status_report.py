"""What ``status`` tells, for people and for pages: facts, sections, and what is not well."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import anyio

from eventstore.cli.contributions import contributions
from eventstore.cli.json_text import to_json
from eventstore.cli.times import show_stored_time
from eventstore.errors import ConfigError, EventStoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventstore.cli.contributions import Contribution
    from eventstore.cli.manifest import StatusEntry, StatusSection
    from eventstore.store.event_store import EventStore

LISTEN_SECONDS: Final = 6.0
"""How long ``status`` waits for the notifier's server to answer: longer than that may take."""

WITHIN_SECONDS: Final = 30.0
"""How many seconds a consumer may be behind, unless something else is said."""


@dataclass(frozen=True, slots=True)
class StatusReport:
    """Facts of the log, each section's entries, and a sentence for each thing that is not well.

    ``broken`` are the sentences about sections that could not be read.
    """

    facts: dict[str, Any]
    sections: dict[str, Sequence[StatusEntry]]
    faults: list[str]
    broken: list[str]

    def values(self) -> dict[str, Any]:
        """Return facts and entries as one JSON object."""
        found = dict(self.facts)
        for name, entries in self.sections.items():
            found.setdefault(name, [entry.values for entry in entries])
        return found


async def read_report(
    store: EventStore, *, within: float, limit: int | None, among: int | None
) -> StatusReport:
    """Return what the log, its consumers and all sections are like now.

    A consumer is well that is at most ``within`` seconds behind. ``limit`` and ``among`` are as for
    :meth:`~eventstore.EventStore.status`.
    """
    facts = await store.status(consumers=limit, among=among)
    faults = [f"the notifier: {facts['trouble']}"] if facts.get("trouble") else []
    sections: dict[str, Sequence[StatusEntry]] = {}
    broken = []
    for section in contributions().status_sections.values():
        try:
            sections[section.item.name] = await read_entries(section, store)
        except EventStoreError as error:
            broken.append(f"section {section.item.name!r} of status: {error}")
    faults += broken
    for consumer in facts["consumers"]:
        faults += consumer_faults(consumer, within)
    faults += [view_line(view) for view in facts["views"] if view["failed_at"] is not None]
    for name, entries in sections.items():
        faults += [f"{name} {entry.name!r}: {entry.fault}" for entry in entries if entry.fault]
    return StatusReport(facts, sections, faults, broken)


async def read_entries(
    section: Contribution[StatusSection], store: EventStore
) -> Sequence[StatusEntry]:
    """Ask a section for its entries; raise ConfigError where its code fails."""
    read = section.load(section.item.path)
    try:
        entries: Sequence[StatusEntry] = await read(store)
    except EventStoreError:
        raise
    except Exception as error:
        raise ConfigError(
            f"distribution {section.distribution!r}: {section.item.path}: "
            f"{type(error).__name__}: {error}"
        ) from error
    return entries


async def listen(store: EventStore) -> None:
    """Return once it is known whether this store can be woken, or after a while."""
    store.feed.listen()
    with anyio.move_on_after(LISTEN_SECONDS):
        while not _is_decided(store.feed.notifier_facts()):  # noqa: ASYNC110
            await anyio.sleep(0.01)  # The notifier's thread has no event to wait for.


def _is_decided(facts: dict[str, str | int]) -> bool:
    return bool(facts.get("listening", True)) or "trouble" in facts


def consumer_faults(consumer: dict[str, Any], within: float) -> list[str]:
    """Return what is wrong with a consumer, which may be ``within`` seconds behind."""
    faults = []
    if _is_gone(consumer["owner"]):
        faults.append(f"consumer {consumer['name']!r}: its process {consumer['owner']} is gone")
    if consumer["lag"] and consumer["lag_seconds"] > within:
        faults.append(f"consumer {consumer['name']!r} is {show_lag(consumer)}")
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
    except PermissionError:  # Another user's process, and alive.
        return False
    return False


def view_line(view: dict[str, Any]) -> str:
    """Return a line about a view."""
    lag = f"{view['lag']} behind" if view["lag"] else "up to date"
    newer = "; newer than this program's: left alone" if view["newer_than_here"] else ""
    failed = ""
    if view["failed_at"] is not None:
        failed = (
            f"; failed at position {view['failed_at']} {view['failed_seconds_ago']} s ago: "
            f"{view['failure']}"
        )
    where = f"version {view['version']}, position {view['position']}, {lag}"
    return f"view {view['name']}: {where}{newer}{failed}"


def show_lag(consumer: dict[str, Any]) -> str:
    """Return how far a consumer is behind."""
    if not consumer["lag"]:
        return "up to date"
    return f"{consumer['lag']} behind, by {consumer['lag_seconds']} s"


def consumer_line(consumer: dict[str, Any]) -> str:
    """Return a line about a consumer."""
    last = consumer["last_rejection"]
    rejected = ""
    if isinstance(last, dict) and {"position", "reason"} <= last.keys():
        rejected = f"; {consumer['rejections']} rejected, last {last['position']}: {last['reason']}"
    elif consumer["rejections"]:
        rejected = f"; {consumer['rejections']} rejected, last {to_json(last).decode()}"
    return (
        f"consumer {consumer['name']}: position {consumer['position']}, {show_lag(consumer)}, "
        f"seen {consumer['seen_seconds_ago']} s ago, {consumer['owner']}{rejected}"
    )


def log_facts(facts: dict[str, Any]) -> list[tuple[str, object]]:
    """Return what is said of the log itself: names and values, without those that say nothing."""
    shown = dict(facts)
    if shown["last_event_at"] is not None:
        shown["last_event_at"] = show_stored_time(shown["last_event_at"])
    if not shown.get("recorded_ahead_seconds"):
        shown.pop("recorded_ahead_seconds", None)
    return [(name, value) for name, value in shown.items() if value is not None]
