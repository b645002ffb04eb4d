"""``status``: what the log, its consumers and its sources are doing, and whether they are well."""

from __future__ import annotations

import inspect
import os
import socket
from typing import TYPE_CHECKING, Annotated, Any, Final

import anyio
import typer

from eventstore.cli.consumers import show_age
from eventstore.cli.contributions import contributions
from eventstore.cli.options import parse_seconds
from eventstore.cli.output import to_json, write_warning
from eventstore.cli.session import Session
from eventstore.cli.times import show_stored_time
from eventstore.errors import ConfigError, EventStoreError
from eventstore.log.validation import check_names
from eventstore.store.status import SEARCHED_CONSUMERS, SHOWN_CONSUMERS, describe_consumer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from eventstore.cli.contributions import Contribution
    from eventstore.cli.manifest import StatusEntry, StatusSection
    from eventstore.cli.output import Output
    from eventstore.store.event_store import EventStore

LISTEN_SECONDS: Final = 6.0
"""How long ``status`` waits for the notifier's server to answer: longer than that may take."""

CHECK: Final = "check_"
"""Begins the parameters of sections' options, so that they meet none of the command's own."""


class UnwellError(EventStoreError):
    """Some of what was checked is not as it should be; ``faults`` has a sentence for each."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = tuple(faults)


async def status(
    session: Session,
    *,
    consumer: Annotated[
        list[str] | None,
        typer.Option(help="Check this consumer; may be given again."),
    ] = None,
    within: Annotated[
        float,
        typer.Option(
            parser=parse_seconds,
            metavar="SECONDS",
            help="How many seconds a checked consumer may be behind.",
        ),
    ] = 30.0,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="End with 1 where anything that is shown is not well."),
    ] = False,
    all_consumers: Annotated[
        bool,
        typer.Option("--all-consumers", help="Show every consumer, not only the slowest."),
    ] = False,
    **required: list[str] | None,
) -> None:
    """Show the log, its notifier and its consumers; or check some, status 1 if one is unwell."""
    wanted = {name.removeprefix(CHECK): names for name, names in required.items() if names}
    async with session.open_store() as store:
        if consumer or wanted:
            faults = await _check_consumers(session, store, consumer or (), within)
            faults += await _check_sections(session, store, wanted)
        else:
            limit = None if all_consumers else SHOWN_CONSUMERS
            # What is judged is searched whole, however many consumers there are.
            among = None if strict else SEARCHED_CONSUMERS
            found = await _show(session, store, within, limit, among)
            faults = found if strict else []
    if faults:
        raise UnwellError(faults)


def _with_checks(function: Any) -> inspect.Signature:
    """Return the signature of ``function`` with the options that sections check by."""
    signature = inspect.signature(function, eval_str=True)
    *own, _required = signature.parameters.values()
    checks = [
        inspect.Parameter(
            CHECK + section.item.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[
                list[str] | None,
                typer.Option(section.item.check_option, help=section.item.check_help),
            ],
        )
        for section in contributions().status_sections.values()
        if section.item.check_option
    ]
    return signature.replace(parameters=[*own, *checks])


status.__signature__ = _with_checks(status)  # type: ignore[attr-defined]


async def _show(
    session: Session, store: EventStore, within: float, limit: int | None, among: int | None
) -> list[str]:
    """Show what an operator asks first; return what is wrong, which ``--strict`` judges."""
    await _listen(store)
    facts = await store.status(consumers=limit, among=among)
    faults = [f"the notifier: {facts['trouble']}"] if facts.get("trouble") else []
    sections: dict[str, Sequence[StatusEntry]] = {}
    for section in contributions().status_sections.values():
        try:
            sections[section.item.name] = await _entries(section, store)
        except EventStoreError as error:
            faults.append(f"section {section.item.name!r} of status: {error}")
            write_warning(faults[-1])
    for consumer in facts["consumers"]:
        faults += _consumer_faults(consumer, within)
    faults += [_view_line(view) for view in facts["views"] if view["failed_at"] is not None]
    for name, entries in sections.items():
        faults += [f"{name} {entry.name!r}: {entry.fault}" for entry in entries if entry.fault]
    _print(session.output, facts, sections)
    return faults


def _print_log(output: Output, facts: dict[str, Any]) -> None:
    """Print what the log itself is like."""
    if facts["last_event_at"] is not None:
        facts["last_event_at"] = show_stored_time(facts["last_event_at"])
    ahead = facts.pop("recorded_ahead_seconds")
    output.facts((name, value) for name, value in facts.items() if value is not None)
    if ahead:
        output.line(
            f"recorded times are {show_age(ahead)} ahead of the clock, which was once set ahead: "
            "events get the last one's time until it has passed; trim by a position"
        )


def _print(
    output: Output, facts: dict[str, Any], sections: Mapping[str, Sequence[StatusEntry]]
) -> None:
    consumers, views = facts.pop("consumers"), facts.pop("views")
    if output.json:
        facts |= {"consumers": consumers, "views": views}
        for name, entries in sections.items():
            facts.setdefault(name, [entry.values for entry in entries])
        output.value(facts, None)
        return
    _print_log(output, facts)
    for line in (*map(_view_line, views), *map(_consumer_line, consumers)):
        output.line(line)
    if facts.get("more_consumers"):
        output.line(
            f"and more consumers: only the first {facts['consumer_count']} by name were searched; "
            "--strict searches all, 'eventstore consumers' lists them"
        )
    elif (more := facts["consumer_count"] - len(consumers)) > 0:
        output.line(f"and {more} consumers that are not further behind: 'eventstore consumers'")
    for entries in sections.values():
        for entry in entries:
            output.line(entry.line)


async def _entries(
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


async def _check_consumers(
    session: Session, store: EventStore, names: Sequence[str], within: float
) -> list[str]:
    """Show the named consumers; return what is wrong with them."""
    faults: list[str] = []
    if not names:
        return faults
    head = await store.head()
    # Read by name: the cost is that of the consumers that are named.
    states = {state.name: state for state in await store.feed.log.consumers(check_names(names))}
    for name in names:
        if (state := states.get(name)) is None:
            faults.append(f"consumer {name!r} was never seen")
            continue
        consumer = await describe_consumer(store.feed.log, state, head, store.clock())
        session.output.value(consumer, _consumer_line(consumer))
        faults += _consumer_faults(consumer, within)
    return faults


async def _check_sections(
    session: Session, store: EventStore, wanted: Mapping[str, Sequence[str]]
) -> list[str]:
    """Show the entries that are required by name; return what is wrong with them."""
    faults = []
    for key, names in wanted.items():
        section = contributions().status_sections[key]
        what = section.item.check_option.removeprefix("--")
        entries = {entry.name: entry for entry in await _entries(section, store)}
        for name in names:
            if (entry := entries.get(name)) is None:
                faults.append(f"{what} {name!r} {section.item.missing}")
                continue
            session.output.value(entry.values, entry.line)
            faults += [f"{what} {name!r}: {entry.fault}"] if entry.fault else []
    return faults


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
    except PermissionError:  # Another user's process, and alive.
        return False
    return False


def _view_line(view: dict[str, Any]) -> str:
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


def _consumer_line(consumer: dict[str, Any]) -> str:
    last = consumer["last_rejection"]
    rejected = ""
    if isinstance(last, dict) and {"position", "reason"} <= last.keys():
        rejected = f"; {consumer['rejections']} rejected, last {last['position']}: {last['reason']}"
    elif consumer["rejections"]:
        rejected = f"; {consumer['rejections']} rejected, last {to_json(last).decode()}"
    return (
        f"consumer {consumer['name']}: position {consumer['position']}, {_lag(consumer)}, "
        f"seen {consumer['seen_seconds_ago']} s ago, {consumer['owner']}{rejected}"
    )


def _lag(consumer: dict[str, Any]) -> str:
    if not consumer["lag"]:
        return "up to date"
    return f"{consumer['lag']} behind, by {consumer['lag_seconds']} s"
