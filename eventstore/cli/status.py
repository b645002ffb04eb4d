"""``status``: what the log, its consumers and its sources are doing, and whether they are well."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from eventstore.cli.contributions import contributions
from eventstore.cli.options import parse_seconds
from eventstore.cli.output import write_warning
from eventstore.cli.session import Session
from eventstore.cli.status_report import (
    WITHIN_SECONDS,
    consumer_faults,
    consumer_line,
    listen,
    log_facts,
    read_entries,
    read_report,
    view_line,
)
from eventstore.errors import EventStoreError
from eventstore.log.validation import check_names
from eventstore.store.status import SEARCHED_CONSUMERS, SHOWN_CONSUMERS, describe_consumer
from eventstore.system.time_text import show_age

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from eventstore.cli.output import Output
    from eventstore.cli.status_report import StatusReport
    from eventstore.store.event_store import EventStore

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
    ] = WITHIN_SECONDS,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="End with 1 where anything that is shown is not well."),
    ] = False,
    all_consumers: Annotated[
        bool,
        typer.Option("--all-consumers", help="Show every consumer, not only the slowest."),
    ] = False,
    **required: list[str] | bool | None,
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
            default=False if section.item.check_all else None,
            annotation=Annotated[
                bool if section.item.check_all else list[str] | None,
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
    await listen(store)
    report = await read_report(store, within=within, limit=limit, among=among)
    for fault in report.broken:
        write_warning(fault)
    _print(session.output, report)
    return report.faults


def _print_log(output: Output, facts: dict[str, Any]) -> None:
    """Print what the log itself is like."""
    ahead = facts.pop("recorded_ahead_seconds")
    output.facts(log_facts(facts))
    if ahead:
        output.line(
            f"recorded times are {show_age(ahead)} ahead of the clock, which was once set ahead: "
            "events get the last one's time until it has passed; trim by a position"
        )


def _print(output: Output, report: StatusReport) -> None:
    if output.json:
        output.value(report.values(), None)
        return
    facts = dict(report.facts)
    consumers, views = facts.pop("consumers"), facts.pop("views")
    _print_log(output, facts)
    for line in (*map(view_line, views), *map(consumer_line, consumers)):
        output.line(line)
    if facts.get("more_consumers"):
        output.line(
            f"and more consumers: only the first {facts['consumer_count']} by name were searched; "
            "--strict searches all, 'eventstore consumers' lists them"
        )
    elif (more := facts["consumer_count"] - len(consumers)) > 0:
        output.line(f"and {more} consumers that are not further behind: 'eventstore consumers'")
    for entries in report.sections.values():
        for entry in entries:
            output.line(entry.line)


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
        session.output.value(consumer, consumer_line(consumer))
        faults += consumer_faults(consumer, within)
    return faults


async def _check_sections(
    session: Session, store: EventStore, wanted: Mapping[str, Sequence[str] | bool]
) -> list[str]:
    """Show the entries that are required by name; return what is wrong with them."""
    faults = []
    for key, names in wanted.items():
        section = contributions().status_sections[key]
        what = section.item.check_option.removeprefix("--")
        entries = {entry.name: entry for entry in await read_entries(section, store)}
        for name in entries if isinstance(names, bool) else names:
            if (entry := entries.get(name)) is None:
                faults.append(f"{what} {name!r} {section.item.missing}")
                continue
            session.output.value(entry.values, entry.line)
            faults += [f"{what} {name!r}: {entry.fault}"] if entry.fault else []
    return faults
