"""Comparing a set of files with the log: pure cases, and a model that edits at random."""

from __future__ import annotations

import itertools
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import anyio
import anyio.from_thread
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.examples import examples
from support.master import fill, rejected, standing, ttp

from eventstore import EventStore
from eventstore.system.stat_cache import FileStamp
from projections.rules import CompiledRule, RuleState, RuleSync
from projections.rules.formats import ParsedRule
from projections.rules.sources.findings import (
    ChangingFile,
    FileFinding,
    InvalidFile,
    ParsedFile,
    UnchangedFile,
)
from projections.rules.sources.reconcile import Verdict, reconcile
from projections.rules.sources.scan import ScannedFile
from projections.rules.standing_rules import StandingRule, StandingRules

if TYPE_CHECKING:
    from collections.abc import Mapping

NO_STAMP = FileStamp(0, 0, 0, 0, 0)


def found(path: str, content: str, standing: StandingRules) -> FileFinding:
    """Say what a "file" whose hash is its content holds: ids, ``!`` broken, ``?`` changing."""
    file = ScannedFile(path, NO_STAMP, content)
    known = standing.rules_by_path().get(path, ())
    if known and all((one.sha256, one.rules) == (content, len(known)) for one in known):
        return UnchangedFile(file, known)
    if content.startswith("?"):
        return ChangingFile(file)
    if content.startswith("!"):
        return InvalidFile(file, "is broken", 3)
    rules = []
    for rule_id in ids_in(content):
        compiled = CompiledRule(rule_id, 1, path, frozenset({"raw"}), {}, (), (), RuleState())
        rules.append(ParsedRule(rule_id, compiled))
    return ParsedFile(file, b"x", "raw", tuple(rules))


def ids_in(content: str) -> list[str]:
    """Return the rule ids that a "file" has: ``A+B:2`` has A and B, in its second version."""
    return content.partition(":")[0].split("+")


def judged(known: Mapping[str, str], files: Mapping[str, str], source: str = "me") -> Verdict:
    """Compare files (path to content) with what is known (path to content)."""
    rules = {
        rule_id: StandingRule(rule_id, path, source, "raw", content, len(ids_in(content)))
        for path, content in known.items()
        for rule_id in ids_in(content)
    }
    standing = StandingRules("me", rules)
    return reconcile(standing, {path: found(path, files[path], standing) for path in files})


def summary(verdict: Verdict) -> tuple[list[str], list[str], list[str]]:
    """Return what is defined (``id@path``), removed and rejected."""
    return (
        sorted(f"{rule_id}@{one.file.path}" for one in verdict.defined for rule_id in one.rule_ids),
        [one.rule_id for one in verdict.removed],
        [one.path for one in verdict.rejected],
    )


CASES: dict[str, tuple[dict[str, str], dict[str, str], tuple[list[str], list[str], list[str]]]] = {
    "a new file is defined": ({}, {"a": "A"}, (["A@a"], [], [])),
    "an unchanged one is not": ({"a": "A"}, {"a": "A"}, ([], [], [])),
    "an edited one is": ({"a": "A:1"}, {"a": "A:2"}, (["A@a"], [], [])),
    "a missing one is removed": ({"a": "A"}, {}, ([], ["A"], [])),
    "a broken one stays": ({"a": "A"}, {"a": "!"}, ([], [], ["a"])),
    "one that changes while it is read stays": ({"a": "A"}, {"a": "?"}, ([], [], [])),
    "a new id removes the old": ({"a": "A"}, {"a": "B"}, (["B@a"], ["A"], [])),
    "a renamed one moves": ({"a": "A"}, {"z": "A"}, (["A@z"], [], [])),
    "two files swap": ({"a": "A", "b": "B"}, {"a": "B", "b": "A"}, (["A@b", "B@a"], [], [])),
    "three files rotate": (
        {"a": "A", "b": "B", "c": "C"},
        {"a": "B", "b": "C", "c": "A"},
        (["A@c", "B@a", "C@b"], [], []),
    ),
    "the first of two by path has it": ({}, {"b": "A:1", "a": "A:2"}, (["A@a"], [], ["b"])),
    "who has it keeps it": ({"b": "A"}, {"a": "A:2", "b": "A"}, ([], [], ["a"])),
    "who has it may edit it": ({"b": "A"}, {"a": "A:2", "b": "A:3"}, (["A@b"], [], ["a"])),
    "a refused claim keeps its own rule": (
        {"a": "A", "b": "B"},
        {"a": "B:2", "b": "B"},
        ([], [], ["a"]),
    ),
    "a chain moves on": (
        {"a": "A", "b": "B"},
        {"a": "B", "b": "C"},
        (["B@a", "C@b"], ["A"], []),
    ),
    "all rules of a file are defined": ({}, {"a": "A+B"}, (["A@a", "B@a"], [], [])),
    "a file of several rules stays": ({"a": "A+B"}, {"a": "A+B"}, ([], [], [])),
    "their order changes no id": ({"a": "A+B"}, {"a": "B+A"}, (["A@a", "B@a"], [], [])),
    "one of them goes": ({"a": "A+B"}, {"a": "B"}, (["B@a"], ["A"], [])),
    "one of them moves": ({"a": "A+B"}, {"a": "B:2", "b": "A:2"}, (["A@b", "B@a"], [], [])),
    "all go with their file": ({"a": "A+B"}, {}, ([], ["A", "B"], [])),
    "all stay where it is broken": ({"a": "A+B"}, {"a": "!"}, ([], [], ["a"])),
    "a broken file keeps all its ids": (
        {"a": "A+B"},
        {"a": "!", "b": "B:2"},
        ([], [], ["a", "b"]),
    ),
    "one taken id refuses the file": ({"b": "B"}, {"a": "A+B:2", "b": "B"}, ([], [], ["a"])),
    "a refused file claims nothing": (
        {"c": "C"},
        {"a": "A+C:2", "b": "A:3", "c": "C"},
        (["A@b"], [], ["a"]),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_as_the_table_says(name: str) -> None:
    known, files, expected = CASES[name]
    assert summary(judged(known, files)) == expected


@pytest.mark.parametrize("name", CASES)
def test_the_order_of_the_files_does_not_matter(name: str) -> None:
    known, files, expected = CASES[name]
    for order in itertools.permutations(files.items()):
        defined, removed, refused = summary(judged(known, dict(order)))
        assert (defined, removed, sorted(refused)) == expected


def test_a_foreign_rule_is_neither_taken_nor_removed() -> None:
    verdict = judged({"a": "A"}, {"b": "A:2"}, source="somebody")
    assert summary(verdict) == ([], [], ["b"])
    assert "source 'somebody'" in verdict.rejected[0].reason


def test_what_may_be_an_edit_in_progress_is_told_apart() -> None:
    assert not judged({}, {"a": "A"}).incomplete
    assert judged({"a": "A"}, {}).incomplete
    assert judged({"a": "A"}, {"a": "!"}).incomplete
    assert judged({"a": "A"}, {"a": "?"}).incomplete
    assert not judged({"a": "A"}, {"a": "A"}).changes_anything


def test_a_path_that_looks_like_another_is_refused_whatever_it_holds() -> None:
    composed, spelled = "caf\u00e9.yml", "cafe\u0301.yml"
    for content in ("B", "!", "?"):
        verdict = judged({}, {spelled: "A", composed: content})
        assert summary(verdict) == ([f"A@{spelled}"], [], [composed])
        assert "looks just like 'cafe\\u0301.yml'" in verdict.rejected[0].reason
        assert not verdict.changing


def test_a_rejection_is_new_once_and_ends_with_its_file() -> None:
    standing = StandingRules("me", rejections={"a": ("!", "is broken"), "b": ("!", "is broken")})
    verdict = reconcile(standing, {path: found(path, "!", standing) for path in "ac"})
    assert [one.path for one in verdict.new_rejections] == ["c"]
    assert verdict.ended == ["b"]


IDS = st.sampled_from(["A", "B", "C"])
PATHS = st.sampled_from(["a.yml", "b.yml", "c.yml", "sub/d.yml"])


class Directory(RuleBasedStateMachine):
    """A directory edited at random, against a model of what must stand.

    The model is written from the promises, not from the code: it remembers for each rule
    the file and the content that were last good.
    """

    def __init__(self) -> None:
        super().__init__()
        self._portal_manager = anyio.from_thread.start_blocking_portal()
        self._portal = self._portal_manager.__enter__()
        self._folder = TemporaryDirectory()
        self.root = Path(self._folder.name)
        self.store = self._portal.call(self._open)
        self.files: dict[str, str] = {}
        self.good: dict[str, tuple[str, str]] = {}
        self.refused: set[str] = set()
        self.edits = 0
        self.synced = True

    async def _open(self) -> EventStore:
        return await EventStore.open("memory://").__aenter__()

    def teardown(self) -> None:
        self._portal.call(self.store.aclose)
        self._portal_manager.__exit__(None, None, None)
        self._folder.cleanup()

    @initialize()
    def start(self) -> None:
        self.restart()

    @rule()
    def restart(self) -> None:
        self.master = RuleSync(self.store, self.root, source="test", allow_empty=True)

    def put(self, path: str, text: str) -> None:
        self.synced = False
        self.files[path] = text
        fill(self.root, {path: text})

    @rule(path=PATHS, rule_id=IDS)
    def write(self, path: str, rule_id: str) -> None:
        self.edits += 1
        self.put(path, ttp(rule_id, f"edit{self.edits}"))

    @rule(path=PATHS, text=st.sampled_from(["", "[", "rule_id: A\n"]))
    def spoil(self, path: str, text: str) -> None:
        self.put(path, text)

    @precondition(lambda self: self.files)
    @rule(data=st.data())
    def delete(self, data: Any) -> None:
        path = data.draw(st.sampled_from(sorted(self.files)))
        self.synced = False
        del self.files[path]
        (self.root / path).unlink()

    @precondition(lambda self: self.files)
    @rule(data=st.data(), new=PATHS)
    def rename(self, data: Any, new: str) -> None:
        path = data.draw(st.sampled_from(sorted(self.files)))
        (self.root / new).parent.mkdir(exist_ok=True)
        (self.root / path).rename(self.root / new)
        self.synced = False
        self.files[new] = self.files.pop(path)

    @precondition(lambda self: len(self.files) > 1)
    @rule(data=st.data())
    def swap(self, data: Any) -> None:
        one, two = data.draw(st.permutations(sorted(self.files)))[:2]
        first, second = self.files[one], self.files[two]
        self.put(one, second)
        self.put(two, first)

    @rule()
    def sync(self) -> None:
        self._portal.call(self.master.sync_once)
        self.refused = self.judge_by_the_promises()
        self.synced = True

    def judge_by_the_promises(self) -> set[str]:
        """Move ``good`` on to what must stand now; return the files that must be refused."""
        owner = {path: rule_id for rule_id, (path, _) in self.good.items()}
        claims: dict[str, list[str]] = {}
        refused = set()
        for path, text in sorted(self.files.items()):
            if "emits:" in text:
                claims.setdefault(text.split()[1], []).append(path)
            else:
                refused.add(path)
        good: dict[str, tuple[str, str]] = {}
        for path in refused:
            if path in owner:
                good[owner[path]] = self.good[owner[path]]
        for rule_id, paths in claims.items():
            if rule_id in good:
                refused |= set(paths)
                continue
            first = next((path for path in paths if owner.get(path) == rule_id), paths[0])
            good[rule_id] = first, self.files[first]
            refused |= set(paths) - {first}
        for path in refused:
            if path in owner and owner[path] not in good:
                good[owner[path]] = self.good[owner[path]]
        self.good = good
        return refused

    @invariant()
    def the_log_says_what_it_must(self) -> None:
        if self.synced:
            assert self._portal.call(standing, self.store) == self.good
            assert self._portal.call(rejected, self.store).keys() == self.refused

    @precondition(lambda self: self.synced)
    @rule()
    def look_again(self) -> None:
        assert self._portal.call(self.master.sync_once).position is None


TestDirectory = Directory.TestCase
TestDirectory.settings = settings(max_examples=examples(40), stateful_step_count=25, deadline=None)
