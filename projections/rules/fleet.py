"""Who has which rules: what each worker should have, was delivered, and says that it has loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias, get_args

from eventstore.log.clock import from_microseconds
from eventstore.system.time_text import show_age
from projections.rules.events import RULES, STATES
from projections.rules.loaded_report import MOST_NAMED, decode_report
from projections.rules.seen_rules import read_intended

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from eventstore import EventStore
    from eventstore.log.operations import ConsumerState, WorkerReport
    from projections.rules.loaded_report import LoadedReport
    from projections.rules.rule_set import Intended

Verdict: TypeAlias = Literal["drift", "silent", "behind", "unknown", "current"]
"""What can be said of a worker; the worst first."""

VERDICTS: Final[tuple[Verdict, ...]] = get_args(Verdict)

BAD: Final[frozenset[Verdict]] = frozenset({"drift", "silent"})
"""Those that a probe ends with status 1 for."""

SILENT_SECONDS: Final = 90.0
"""Seconds without a report after which a worker is silent: it has missed two."""

TAKING_SECONDS: Final = 10.0
"""Seconds after a change in which a worker that has not taken it in is behind, and no drift."""

UNNAMED_SECONDS: Final = 3_600.0
"""Seconds after which a worker is left out that had no name but that of its process."""


class Worker(NamedTuple):
    """One worker: where its consumer is, what it has told and how long ago, and the verdict.

    ``differs`` are rules that differ, each with a word, as far as they are known; there are
    ``differing``, or it is not known how many (None).
    """

    name: str
    verdict: Verdict
    delivered: int | None
    report: LoadedReport | None
    told_us: int | None
    seconds: float | None
    process: str
    differs: Sequence[tuple[str, str]] = ()
    differing: int | None = 0

    def said(self) -> str:
        """Return the verdict as a sentence, without the names of rules."""
        ago = "" if self.seconds is None else f"{show_age(self.seconds)} ago"
        match self.verdict:
            case "drift":
                return f"runs other rules than it should, as it said {ago}"
            case "silent":
                return f"says nothing: the last word came {ago}"
            case "behind":
                return "is taking in what has changed"
            case "unknown" if self.report is None:
                return "has not said what it has loaded"
            case "unknown":
                return "does not know the hash of what it has loaded"
            case "current":
                return f"has the intended rules, as it said {ago}"


class Fleet(NamedTuple):
    """The intended set and every worker, those in trouble first."""

    intended: Intended
    hash: str
    workers: list[Worker]

    def counts(self) -> dict[Verdict, int]:
        """Return how many workers there are of each verdict."""
        found = dict.fromkeys(VERDICTS, 0)
        for worker in self.workers:
            found[worker.verdict] += 1
        return found

    def knows(self, rule_id: str) -> bool:
        """Tell whether the log ever had a rule or its state, or a worker names it."""
        if rule_id in self.intended.rules or any(
            prefix + rule_id in self.intended.positions for prefix in (RULES, STATES)
        ):
            return True
        reports = [worker.report for worker in self.workers if worker.report is not None]
        return any(
            rule_id == named for told in reports for named, _ in (*told.differs, *told.rejected)
        )


async def read_fleet(store: EventStore) -> Fleet:
    """Return what every worker has: those that report, and the named consumers of the log."""
    intended = await read_intended(store)
    reports = await store.reports()
    consumers = await store.consumers()
    since_us = await _time_of(store, intended.since)
    return judge_fleet(intended, reports, consumers, since_us, store.clock())


async def _time_of(store: EventStore, position: int) -> int:
    if position:
        async for event in store.read(after=position - 1, until=position, kept=True):
            return event.recorded_us
    return 0


def judge_fleet(
    intended: Intended,
    reports: Iterable[WorkerReport],
    consumers: Iterable[ConsumerState],
    since_us: int,
    now_us: int,
) -> Fleet:
    """Return the fleet; the intended set is the same since ``since_us``, in microseconds."""
    known = {state.name: state for state in consumers}
    hash_, changed = intended.hash, _Changes(intended)
    is_new = now_us - since_us < TAKING_SECONDS * 1_000_000
    workers = []
    for told in reports:
        seconds = max(0.0, (now_us - told.told_us) / 1_000_000)
        report, state = decode_report(told.report), known.pop(told.name, None)
        process = report.process if report is not None else ""
        if told.name == process and seconds > UNNAMED_SECONDS:
            continue
        delivered = None if state is None else state.cursor.position
        verdict = _judge(report, seconds, intended, hash_, is_new=is_new)
        differs, differing = changed.of(report, hash_)
        workers.append(
            Worker(
                told.name, verdict, delivered, report, told.told_us, seconds, process, differs,
                differing,
            )
        )  # fmt: skip
    workers += [
        Worker(
            state.name, "unknown", state.cursor.position, None, None, None, state.owner, (), None
        )
        for state in known.values()
    ]
    workers.sort(key=lambda one: (VERDICTS.index(one.verdict), one.name))
    return Fleet(intended, hash_, workers)


def _judge(
    report: LoadedReport | None, seconds: float, intended: Intended, hash_: str, *, is_new: bool
) -> Verdict:
    if seconds > SILENT_SECONDS:
        return "silent"
    if report is None or not report.hash:
        return "drift" if report is not None and report.differing else "unknown"
    if report.hash == hash_:
        return "current"
    return "behind" if is_new or report.position < intended.since else "drift"


class _Changes:
    """The rules in which workers differ; computed once for all that are at one position."""

    def __init__(self, intended: Intended) -> None:
        self._intended = intended
        self._known: dict[int, list[tuple[str, str]]] = {}

    def of(
        self, report: LoadedReport | None, hash_: str
    ) -> tuple[Sequence[tuple[str, str]], int | None]:
        if report is None:
            return (), None
        if report.hash == hash_:
            return (), 0
        if report.differing:
            return report.differs, report.differing
        if report.position >= self._intended.since or self._intended.held is not None:
            return (), None
        found = self._known.get(report.position)
        if found is None:
            found = self._intended.changed_after(report.position)
            self._known[report.position] = found
        return found[:MOST_NAMED], len(found)


class Holding(NamedTuple):
    """What a worker has of one rule, in a word: ``has``, ``differs``, ``rejected``, ``unknown``."""

    worker: Worker
    word: str
    why: str


def who_has(fleet: Fleet, rule_id: str) -> list[Holding]:
    """Return for each worker what it has of a rule, those that have it not first.

    Of a rule that is not intended a worker "has" what it should where it does not run it.
    """
    found = [_holding(fleet.intended, worker, rule_id) for worker in fleet.workers]
    order = ("rejected", "differs", "unknown", "has")
    return sorted(found, key=lambda one: (order.index(one.word), one.worker.name))


def _holding(intended: Intended, worker: Worker, rule_id: str) -> Holding:
    report = worker.report
    if report is None:
        return Holding(worker, "unknown", worker.said())
    for refused, why in report.rejected:
        if refused == rule_id:
            return Holding(worker, "rejected", why)
    for other, word in worker.differs:
        if other == rule_id:
            return Holding(worker, "differs", word)
    if worker.verdict == "silent":
        return Holding(worker, "unknown", worker.said())
    complete = worker.differing is not None and worker.differing <= len(worker.differs)
    newest = max(
        (intended.positions.get(prefix + rule_id, 0) for prefix in (RULES, STATES)),
        default=0,
    )
    if worker.verdict == "current" or (complete and report.position >= newest):
        why = "" if rule_id in intended.rules else "does not run it, as intended"
        return Holding(worker, "has", why)
    return Holding(worker, "unknown", "it does not say which rules differ")


def worker_values(worker: Worker) -> dict[str, Any]:
    """Return a worker as JSON-ready values."""
    report = worker.report
    values: dict[str, Any] = {
        "worker": worker.name,
        "verdict": worker.verdict,
        "delivered": worker.delivered,
        "loaded": None if report is None else report.position,
        "told_at": None
        if worker.told_us is None
        else from_microseconds(worker.told_us).isoformat(),
        "process": worker.process,
        "differs": [list(one) for one in worker.differs],
        "differing": worker.differing,
    }
    if report is not None:
        values |= {
            "hash": report.hash,
            "rules": report.rules,
            "engine": report.engine,
            "version": report.version,
            "rejected": [list(one) for one in report.rejected],
            "refused": report.refused,
        }
    return values


def intended_values(fleet: Fleet) -> dict[str, Any]:
    """Return what workers should have as JSON-ready values."""
    intended = fleet.intended
    return {
        "position": intended.position,
        "since": intended.since,
        "hash": fleet.hash,
        "rules": len(intended.rules),
        "held": intended.held,
    }
