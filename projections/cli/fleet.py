"""``fleet``: who has which rules; and the section of ``status`` that ``--drift`` checks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from eventstore.cli.manifest import StatusEntry
from eventstore.cli.session import Session
from eventstore.errors import InvalidInputError
from eventstore.system.time_text import show_age
from projections.rules.fleet import (
    BAD,
    intended_values,
    read_fleet,
    who_has,
    worker_values,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventstore import EventStore
    from projections.rules.fleet import Fleet, Holding, Worker

SHOWN: Final = 50
"""Workers that are listed without ``--all``, those in trouble first."""

NAMED: Final = 5
"""Rules that are named for a worker in the table."""

NAMED_WORKERS: Final = 10
"""Workers in trouble that ``status`` names."""

COLUMNS: Final = ("worker", "is", "delivered", "loaded", "told", "engine", "differs in")
RULE_COLUMNS: Final = ("worker", "has it", "why", "is", "told")


async def fleet(
    session: Session,
    *,
    rule: Annotated[str | None, typer.Option(help="Show who has this rule.")] = None,
    everyone: Annotated[
        bool, typer.Option("--all", help=f"List every worker, not only the first {SHOWN}.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="End with 1 where a worker drifts or is silent.")
    ] = False,
) -> int:
    """Show who has which rules, those first that run others than they should.

    "delivered" is the position of the worker's consumer, "loaded" the one up to which it has told
    what it runs. A worker that "drifts" runs other rules; one that is "silent" has told nothing for
    90 s; one that is "behind" takes in what has just changed; of one that is "unknown" only a
    consumer is there.
    """
    async with session.open_store() as store:
        found = await read_fleet(store)
    if rule is not None and not found.knows(rule):
        raise InvalidInputError(
            f"rule {rule!r}", "the log never had it: 'eventstore rules' lists the rules"
        )
    output = session.output
    if not output.json:
        for line in _summary(found):
            output.line(line)
    nothing = "no worker has told which rules it runs, and there are no consumers"
    if rule is not None:
        held = who_has(found, rule)
        shown = held if everyone or output.json else held[:SHOWN]
        output.listing(shown, _holding_values, RULE_COLUMNS, _holding_row, nothing)
    else:
        workers = found.workers if everyone or output.json else found.workers[:SHOWN]
        output.listing(workers, lambda one: _values(found, one), COLUMNS, _row, nothing)
    more = len(found.workers) - SHOWN
    if more > 0 and not everyone and not output.json:
        output.line(f"and {more:,} workers more: --all lists them")
    return int(strict and any(worker.verdict in BAD for worker in found.workers))


async def forget(
    session: Session,
    worker: Annotated[
        str, typer.Argument(help="The worker; after -- where it begins with a dash.")
    ],
) -> None:
    """Forget what a worker has told; a consumer of that name stays."""
    async with session.open_store() as store:
        if worker not in {told.name for told in await store.reports()}:
            raise InvalidInputError(
                f"worker {worker!r}", "it has told nothing: 'eventstore fleet' lists the workers"
            )
        await store.forget_report(worker)
    session.output.value({"worker": worker}, f"worker {worker}: what it has told is forgotten")


async def fleet_status(store: EventStore) -> list[StatusEntry]:
    """Return how many workers run the intended rules, and which do not; none without reports."""
    if not await store.reports():
        return []
    found = await read_fleet(store)
    values: dict[str, object] = {"intended": intended_values(found), "counts": found.counts()}
    entries = [StatusEntry("all", values, f"fleet: {_counted(found)}")]
    bad = [worker for worker in found.workers if worker.verdict in BAD]
    for worker in bad[:NAMED_WORKERS]:
        said = f"{worker.said()}{_named(worker, ' (', ')')}"
        line = f"worker {worker.name}: {said}"
        entries.append(StatusEntry(worker.name, worker_values(worker), line, said))
    if (more := len(bad) - NAMED_WORKERS) > 0:
        said = f"{more:,} workers are in trouble too: 'eventstore fleet' lists them"
        entries.append(StatusEntry("others", {"more": more}, f"and {said}", said))
    return entries


def _summary(found: Fleet) -> list[str]:
    intended = found.intended
    held = "" if intended.held is None else f", held at position {intended.held}"
    since = f"unchanged since position {intended.since}{held}"
    number = len(intended.rules)
    return [
        f"intended: {number:,} rules, {since}, hash {found.hash[:12]}",
        f"fleet: {_counted(found)}",
    ]


def _counted(found: Fleet) -> str:
    counts = ", ".join(f"{number:,} {word}" for word, number in found.counts().items() if number)
    number = len(found.workers)
    return f"{number:,} worker{'' if number == 1 else 's'}{': ' if counts else ''}{counts}"


def _values(found: Fleet, worker: Worker) -> dict[str, Any]:
    return {**worker_values(worker), "intended": found.hash, "said": worker.said()}


def _row(worker: Worker) -> Sequence[str]:
    report = worker.report
    return (
        worker.name,
        worker.verdict,
        "-" if worker.delivered is None else str(worker.delivered),
        "-" if report is None else str(report.position),
        _told(worker),
        "-" if report is None else f"{report.engine} {report.version}".strip() or "-",
        _named(worker),
    )


def _told(worker: Worker) -> str:
    return "never" if worker.seconds is None else f"{show_age(worker.seconds)} ago"


def _named(worker: Worker, before: str = "", after: str = "") -> str:
    """Return the rules in which a worker differs, in words; empty where it does not."""
    reasons = dict(worker.report.rejected) if worker.report is not None else {}
    words = [
        f"{rule_id} {word}{f' (rejected: {reasons[rule_id]})' if rule_id in reasons else ''}"
        for rule_id, word in worker.differs[:NAMED]
    ]
    if worker.differing is not None and worker.differing > len(words):
        words.append(f"{worker.differing - len(words):,} more")
    if not words and worker.differing is None and worker.verdict == "drift":
        words.append("it does not say in which")
    return f"{before}{', '.join(words)}{after}" if words else ""


def _holding_values(one: Holding) -> dict[str, Any]:
    return {
        "worker": one.worker.name,
        "has": one.word,
        "why": one.why,
        "verdict": one.worker.verdict,
    }


def _holding_row(one: Holding) -> Sequence[str]:
    return one.worker.name, one.word, one.why, one.worker.verdict, _told(one.worker)
