"""What is said of workers, from what they told, where their consumers are, and the time."""

from __future__ import annotations

import pytest

from eventstore.log.events import Cursor
from eventstore.log.operations import ConsumerState, WorkerReport
from projections.rules.fleet import (
    BAD,
    SILENT_SECONDS,
    TAKING_SECONDS,
    UNNAMED_SECONDS,
    VERDICTS,
    Fleet,
    judge_fleet,
    who_has,
    worker_values,
)
from projections.rules.loaded_report import LoadedReport, encode_report
from projections.rules.rule_set import Intended, RuleEntry

NOW = 1_000_000_000_000_000
INTENDED = Intended(
    20,
    15,
    {"A": RuleEntry("a" * 64, 3), "B": RuleEntry("b" * 64, 12, "disabled")},
    positions={"rule/A": 3, "rule/B": 12, "rule-state/B": 15, "rule/C": 14, "rule/D": 2},
)


def told(name: str, seconds: float = 1.0, **fields: object) -> WorkerReport:
    report = LoadedReport(**{"position": 20, "hash": INTENDED.hash, "process": "h:1"} | fields)  # type: ignore[arg-type]
    return WorkerReport(name, NOW - int(seconds * 1_000_000), encode_report(report))


def consumer(name: str, position: int = 20) -> ConsumerState:
    return ConsumerState(name, Cursor("log", position, b""), 1, "h:1", NOW)


def fleet(*reports: WorkerReport, consumers: int = 0, since: float = 60.0) -> Fleet:
    names = [consumer(f"c{number}") for number in range(consumers)]
    return judge_fleet(INTENDED, reports, names, NOW - int(since * 1_000_000), NOW)


@pytest.mark.parametrize(
    ("report", "since", "verdict", "words"),
    [
        (told("w"), 60, "current", "has the intended rules, as it said 1.0 s ago"),
        (told("w", hash="0" * 64), 60, "drift", "runs other rules than it should"),
        (told("w", hash="0" * 64), TAKING_SECONDS - 1, "behind", "is taking in"),
        (told("w", hash="0" * 64, position=14), 60, "behind", "is taking in"),
        (told("w", SILENT_SECONDS - 1), 60, "current", "89.0 s ago"),
        (
            told("w", SILENT_SECONDS + 1),
            60,
            "silent",
            "nothing: the last word came 91.0 s ago",
        ),
        (told("w", 400_000), 60, "silent", "came 4 d ago"),
        (told("w", hash=""), 60, "unknown", "does not know the hash"),
        (told("w", hash="", differs=(("A", "content"),), differing=1), 60, "drift", "other rules"),
        (WorkerReport("w", NOW, "no JSON"), 60, "unknown", "has not said what it has loaded"),
    ],
)
def test_a_worker_is_judged(report: WorkerReport, since: float, verdict: str, words: str) -> None:
    (worker,) = fleet(report, since=since).workers
    assert worker.verdict == verdict
    assert words in worker.said()


def test_those_in_trouble_come_first_and_consumers_that_tell_nothing_are_known() -> None:
    found = fleet(
        told("e"), told("d", hash="0" * 64, position=1), told("b", 100), told("a", hash="0" * 64),
        consumers=1,
    )  # fmt: skip
    assert [worker.verdict for worker in found.workers] == list(VERDICTS)
    assert [worker.name for worker in found.workers] == ["a", "b", "d", "c0", "e"]
    assert found.counts() == dict.fromkeys(VERDICTS, 1)
    assert frozenset({"drift", "silent"}) == BAD
    unknown = worker_values(found.workers[3])
    assert (unknown["delivered"], unknown["loaded"], unknown["told_at"]) == (20, None, None)


def test_a_worker_without_a_name_of_its_own_is_left_out_once_it_is_gone() -> None:
    reports = [told("h:1", UNNAMED_SECONDS + 1), told("h:2", UNNAMED_SECONDS + 1)]
    assert [worker.name for worker in fleet(*reports).workers] == ["h:2"]


def test_the_rules_that_differ_are_the_workers_own_else_those_that_changed_since() -> None:
    own = told("own", hash="0" * 64, differs=(("X", "extra"),), differing=1)
    found = fleet(own, told("late", hash="0" * 64, position=12), told("other", hash="0" * 64))
    by_name = {worker.name: worker for worker in found.workers}
    assert (by_name["own"].differs, by_name["own"].differing) == ((("X", "extra"),), 1)
    assert by_name["late"].differs == [("B", "state"), ("C", "removed")]
    assert by_name["late"].differing == 2
    assert (by_name["other"].differs, by_name["other"].differing) == ((), None)


def test_who_has_a_rule_is_told_worker_by_worker() -> None:
    found = fleet(
        told("has"),
        told("late", hash="0" * 64, position=12),
        told("lacks", hash="0" * 64, differs=(("B", "missing"),), differing=1),
        told(
            "refuses",
            hash="0" * 64,
            differs=(("B", "missing"),),
            differing=1,
            rejected=(("B", "why"),),
            refused=1,
        ),
        told("other", hash="0" * 64),
        told("silent", 100),
        consumers=1,
    )
    said = {one.worker.name: (one.word, one.why) for one in who_has(found, "B")}
    assert said["has"] == ("has", "")
    assert said["late"] == ("differs", "state")
    assert said["lacks"] == ("differs", "missing")
    assert said["refuses"] == ("rejected", "why")
    assert {name for name, (word, _) in said.items() if word == "unknown"} == {
        "other",
        "silent",
        "c0",
    }
    assert who_has(found, "B")[0].word == "rejected"
    assert {one.worker.name: one.word for one in who_has(found, "A")}["late"] == "has"


def test_a_removed_rule_is_told_from_one_that_a_worker_runs_and_from_one_that_never_was() -> None:
    found = fleet(
        told("good"),
        told("late", hash="0" * 64, differs=(("C", "extra"), ("X", "extra")), differing=2),
        told("refuses", rejected=(("Y", "why"),), refused=1),
    )
    said = {one.worker.name: (one.word, one.why) for one in who_has(found, "C")}
    assert said["good"] == ("has", "does not run it, as intended")
    assert said["late"] == ("differs", "extra")
    assert [found.knows(rule_id) for rule_id in "ABCDXYZ"] == [True] * 6 + [False]
