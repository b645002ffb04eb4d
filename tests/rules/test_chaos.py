"""Everything at once, and everything killed: what people edited is what everybody has."""

from __future__ import annotations

import json
import sqlite3
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from math import inf
from random import Random
from typing import TYPE_CHECKING, NamedTuple

import anyio
import pytest
from support.audit import audit
from support.chaos import (
    Lives,
    Mortal,
    Row,
    master,
    query,
    rows,
    running,
)
from support.chaos_editor import Editor
from support.chaos_model import Script, Standing
from support.processes import words as program
from support.rule_log import files_below
from support.waiting import eventually

from eventstore import EventStore
from projections.rules import RuleState, RuleStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WORKERS = 4
LATER = timedelta(hours=1)
EPOCH = datetime.fromtimestamp(0, UTC)

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]


@dataclass
class Chaos:
    """One run: its places, its script, and the states that were set."""

    folder: Path
    dice: Random
    states: dict[str, RuleState] = field(default_factory=dict)
    sets: int = 0
    short_lived: int = 0
    converged: float = 0.0

    def __post_init__(self) -> None:
        self.root, self.live = self.folder / "rules", self.folder / "live"
        self.log, self.tables = self.folder / "events.db", self.folder / "tables.db"
        self.root.mkdir()
        self.url = f"sqlite:///{self.log}"
        self.script = Script(self.folder / "script.jsonl")
        self.editor = Editor(self.root, self.script, self.dice, self._logged)
        self.workers = [Lives(self.folder, f"worker-{n}", self.log) for n in range(WORKERS)]
        self._stands: dict[str, tuple[str, str]] = {}
        self._read = 0

    def mortals(self) -> list[Mortal]:
        """Return every process there is."""
        tables = f"sqlite:///{self.tables}"
        kinds: dict[str, tuple[Callable[[int], list[str]], Callable[[], int]]] = {
            "master": (lambda _: master(self.url, self.root), self.edited_at),
            "directory": (
                lambda _: program("directory_runner", self.url, self.live),
                self.directory_at,
            ),
            "tables": (lambda _: program("rule_tables_runner", self.url, tables), self.tables_at),
        }
        kinds |= {one.name: (partial(one.words, self.url), one.reached) for one in self.workers}
        return [
            Mortal(name, words, reached, self.folder, Random(self.dice.random()))
            for name, (words, reached) in kinds.items()
        ]

    def edited_at(self) -> int:
        """Return the position of the last event that a master appends; 0 before the first."""
        if not self.log.exists():
            return 0
        types = "('RuleDefined', 'RuleRemoved', 'RuleRejected', 'RejectionEnded')"
        query_ = f"SELECT position FROM event WHERE type IN {types} ORDER BY position DESC LIMIT 1"
        found = query(self.log, query_)
        return int(found[0][0]) if found else 0

    def directory_at(self) -> int:
        """Return how far the projected directory is."""
        manifest = self.live / ".eventstore.json"
        return int(json.loads(manifest.read_bytes())["position"]) if manifest.exists() else 0

    def tables_at(self) -> int:
        """Return how far the projected tables are; 0 before there are any."""
        try:
            found = query(self.tables, "SELECT position FROM projection WHERE name = 'rules'")
        except sqlite3.OperationalError:
            return 0
        # The position is NULL from the registration of the projection to its first commit.
        return int(found[0][0] or 0) if found else 0

    async def work(self, rules: RuleStore, enough: Callable[[], bool]) -> None:
        """Edit files and set states, in bursts with rests between them."""
        while not enough():
            for _ in range(self.dice.randint(1, 8)):
                await self.editor.edit()
                if self.dice.random() < 0.3:
                    await self._set_state(rules)
            # People rest; how long decides what the master sees as one change.
            await anyio.sleep(self.dice.choice([0.0, 0.02, 0.1, 0.4]))

    async def _set_state(self, rules: RuleStore) -> None:
        rule_id = self.dice.choice(sorted(self.script.rules))
        lifetime = self.dice.choice([None, LATER, timedelta(seconds=self.dice.uniform(0.05, 2))])
        ends = datetime.now(UTC) + lifetime if lifetime else None
        state = RuleState("disabled", expires_at=ends, reason=f"{self.sets}")
        await rules.set_state(rule_id, state, set_by="chaos")
        self.states[rule_id] = RuleState() if ends and lifetime != LATER else state
        self.sets += 1
        self.short_lived += lifetime not in {None, LATER}

    async def _logged(self, rule_id: str, rule: Standing) -> None:
        async def so() -> bool:
            return self.standing().get(rule_id) == (rule.path, rule.text.sha256)

        await eventually(so, within=inf)

    def standing(self) -> dict[str, tuple[str, str]]:
        """Return path and hash of each rule that stands in the log, by a fold of its own."""
        for row in rows(self.log, self._read):
            self._read = row.position
            rule_id = row.stream.removeprefix("rule/")
            if row.type == "RuleDefined":
                self._stands[rule_id] = row.data["path"], row.data["sha256"]
            elif row.type == "RuleRemoved":
                del self._stands[rule_id]
        return self._stands

    def expected(self) -> dict[str, tuple[str, str]]:
        """Return the same as the editing script has it."""
        return {key: (rule.path, rule.text.sha256) for key, rule in self.script.rules.items()}

    def state_of(self, rule_id: str) -> tuple[str, str | None]:
        state = self.states[rule_id]
        return state.state, state.reason

    async def converge(self) -> None:
        """Return once everybody is where the log is, and the log where the files are."""
        began = time.monotonic()
        try:
            await eventually(self._has_converged, within=inf)
        except BaseException:
            self.check_log(rows(self.log))  # It says what is missing, where that is the log's.
            raise
        self.converged = time.monotonic() - began

    async def _has_converged(self) -> bool:
        await anyio.sleep(0.1)  # Looking costs what the processes need to get there.
        if self.standing() != self.expected() or _rejected(rows(self.log)) != self.script.rejected:
            return False
        if _states(rows(self.log)) != {key: self.state_of(key) for key in self.states}:
            return False
        views = {self.directory_at(), self.tables_at()}
        return views | {one.reached() for one in self.workers} == {self._read}

    def check_log(self, log: list[Row]) -> None:
        """Check that the log says what the editing script says, and nothing twice."""
        assert self.standing() == self.expected()
        assert _rejected(log) == self.script.rejected
        assert _states(log) == {key: self.state_of(key) for key in self.states}
        assert [row.type for row in log].count("RuleStateSet") == self.sets
        last: dict[str, Row] = {}
        for row in log:
            before = last.get(row.stream)
            if row.type == "RuleDefined":
                edit = (row.data["path"], row.data["sha256"])
                assert edit in self.script.been
                if before is not None and before.type == "RuleDefined":
                    assert edit != (before.data["path"], before.data["sha256"])
            if row.type == "RuleRemoved":
                assert before is not None
                assert before.type == "RuleDefined"
            last[row.stream] = row

    def check_views(self) -> None:
        """Check that the projected files and tables are what the script says."""
        files = {rule.path: rule.text.content.encode() for rule in self.script.rules.values()}
        assert files_below(self.live) == files
        found = query(self.tables, "SELECT rule_id, path, sha256 FROM rule")
        assert {key: (path, hash_) for key, path, hash_ in found} == self.expected()
        found = query(self.tables, "SELECT path, sha256 FROM rule_rejection WHERE stands")
        assert dict(found) == self.script.rejected
        found = query(self.tables, "SELECT rule_id, state, reason FROM rule_state")
        assert {key: tuple(rest) for key, *rest in found} == {
            key: self.state_of(key) for key in self.states
        }


def _rejected(log: list[Row]) -> dict[str, str]:
    files: dict[str, str] = {}
    for row in log:
        if row.type == "RuleRejected":
            files[row.data["path"]] = row.data["sha256"]
        elif row.type == "RejectionEnded":
            del files[row.data["path"]]
    return files


def _states(log: list[Row]) -> dict[str, tuple[str, str | None]]:
    return {
        row.data["rule_id"]: (row.data["state"]["state"], row.data["state"]["reason"])
        for row in log
        if row.stream.startswith("rule-state/")
    }


def check_expiries(log: list[Row]) -> int:
    """Check that each expiry ended the state before it, on time and once; count them."""
    last: dict[str, Row] = {}
    ended: list[int] = []
    for row in log:
        if row.type == "RuleStateExpired":
            state = last[row.stream]
            assert state.type == "RuleStateSet"
            assert row.data["ended"] == state.position
            due = datetime.fromisoformat(state.data["state"]["expires_at"])
            assert row.recorded_us >= (due - EPOCH) / timedelta(microseconds=1)
            ended.append(state.position)
        last[row.stream] = row
    assert len(ended) == len(set(ended))
    return len(ended)


async def run(chaos: Chaos, mortals: list[Mortal], size: Size) -> None:
    """Work while everything is killed; then let everything converge."""

    def enough() -> bool:
        killed = min(mortal.kills for mortal in mortals)
        return killed >= size.kills and edits() >= size.edits and chaos.short_lived > 0

    def edits() -> int:
        return chaos.script.edits

    stop = anyio.Event()
    chaos.editor.begin()
    async with EventStore.open(chaos.url) as store:
        with running(mortals):
            async with anyio.create_task_group() as tasks:
                for mortal in mortals:
                    tasks.start_soon(mortal.live, edits, size.longest, stop)
                await chaos.work(RuleStore(store), enough)
                await chaos.editor.leave_broken()
                stop.set()
            await chaos.converge()


class Size(NamedTuple):
    """How much is edited and killed, at least, and how many edits a life lasts at the most.

    Work and kills go on by these counts, independent of time.
    """

    edits: int
    kills: int
    longest: int


@pytest.mark.promise("subscription")
@pytest.mark.parametrize(
    ("size", "seed"),
    [
        pytest.param(Size(100, 2, 40), 1, id="short", marks=pytest.mark.timeout(600)),
        pytest.param(
            Size(500, 8, 40), 1, id="long", marks=[pytest.mark.slow, pytest.mark.timeout(1200)]
        ),
        pytest.param(
            Size(5_000, 40, 80), 2, id="soak", marks=[pytest.mark.soak, pytest.mark.timeout(3600)]
        ),
    ],
)
async def test_what_was_edited_while_everything_was_killed_is_what_everybody_has(
    tmp_path: Path, size: Size, seed: int
) -> None:
    chaos = Chaos(tmp_path, Random(seed))
    mortals = chaos.mortals()
    await run(chaos, mortals, size)
    log = rows(chaos.log)
    assert audit(chaos.log) == len(log)
    chaos.check_log(log)
    chaos.check_views()
    expiries = check_expiries(log)
    repeats = max(worker.check(log) for worker in chaos.workers)
    for mortal in mortals:
        mortal.check()
    kills = {mortal.name: mortal.kills for mortal in mortals}
    print(f"\nseed {seed}: {chaos.script.edits:,} edits of files {chaos.editor.kinds}")
    print(f"{chaos.sets} states set, {expiries} expired; kills {kills}; {len(log):,} events")
    print(f"repeats at worst {repeats}; converged in {chaos.converged:.1f} s")
    assert expiries
    assert chaos.script.rejected
