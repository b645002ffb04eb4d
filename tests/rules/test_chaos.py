"""Everything at once, and everything killed: what people edited is what everybody has."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import TYPE_CHECKING

import anyio
import pytest
from support.audit import audit
from support.chaos import (
    DIRECTORY,
    TABLES,
    Lives,
    Mortal,
    Row,
    master,
    program,
    query,
    rows,
    running,
)
from support.chaos_editor import Editor
from support.chaos_model import Script, Standing
from support.rule_log import files_below
from support.waiting import eventually

from eventstore import EventStore
from projections.rules import RuleState, RuleStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WORKERS = 4
KNOWN_WITHIN = 60.0
"""Seconds for an edit to reach the log: a master is killed many times meanwhile."""
LONGER = 0.25
"""By how much the lives lengthen for each second that an edit waits for the log: where a
process takes longer to start than it may live, nothing would ever get done."""
CONVERGED_WITHIN = 60.0
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
    converged: float = 0.0
    waits_since: float | None = None

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
        commands: dict[str, Callable[[int], list[str]]] = {
            "master": lambda _: master(self.url, self.root),
            "directory": lambda _: program(DIRECTORY, self.url, self.live),
            "tables": lambda _: program(TABLES, self.url, f"sqlite:///{self.tables}"),
        }
        commands |= {one.name: partial(one.words, self.url) for one in self.workers}
        return [
            Mortal(name, words, self.folder, Random(self.dice.random()))
            for name, words in commands.items()
        ]

    async def work(self, rules: RuleStore, seconds: float) -> None:
        """Edit files and set states, in bursts with rests between them."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
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

    async def _logged(self, rule_id: str, rule: Standing) -> None:
        async def so() -> bool:
            return self.standing().get(rule_id) == (rule.path, rule.text.sha256)

        self.waits_since = time.monotonic()
        try:
            await eventually(so, KNOWN_WITHIN)
        except TimeoutError:
            assert self.standing().get(rule_id) == (rule.path, rule.text.sha256)
        self.waits_since = None

    def waited(self) -> float:
        """Return for how many seconds an edit has waited for the log."""
        return 0.0 if self.waits_since is None else time.monotonic() - self.waits_since

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
            await eventually(self._has_converged, CONVERGED_WITHIN)
        except TimeoutError:
            self.check_log(rows(self.log))  # It says what is missing, where that is the log's.
            raise
        self.converged = time.monotonic() - began

    async def _has_converged(self) -> bool:
        await anyio.sleep(0.1)  # Looking costs what the processes need to get there.
        if self.standing() != self.expected() or _rejected(rows(self.log)) != self.script.rejected:
            return False
        if _states(rows(self.log)) != {key: self.state_of(key) for key in self.states}:
            return False
        manifest = json.loads((self.live / ".eventstore.json").read_bytes())
        view = query(self.tables, "SELECT position FROM projection WHERE name = 'rules'")
        views = {manifest["position"], view[0][0]}
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


async def run(chaos: Chaos, mortals: list[Mortal], seconds: float, longest: float) -> None:
    """Work while everything is killed; then let everything converge."""

    def lifetime() -> float:
        return longest + LONGER * chaos.waited()

    stop = anyio.Event()
    chaos.editor.begin()
    async with EventStore.open(chaos.url) as store:
        with running(mortals):
            async with anyio.create_task_group() as tasks:
                for mortal in mortals:
                    tasks.start_soon(mortal.live, lifetime, stop)
                await chaos.work(RuleStore(store), seconds)
                await chaos.editor.leave_broken()
                stop.set()
            await chaos.converge()


@pytest.mark.parametrize(
    ("seconds", "longest", "seed"),
    [
        pytest.param(8, 4.0, 1, marks=pytest.mark.timeout(300)),
        pytest.param(180, 8.0, 2, marks=[pytest.mark.soak, pytest.mark.timeout(600)]),
    ],
)
async def test_what_was_edited_while_everything_was_killed_is_what_everybody_has(
    tmp_path: Path, seconds: float, longest: float, seed: int
) -> None:
    chaos = Chaos(tmp_path, Random(seed))
    mortals = chaos.mortals()
    await run(chaos, mortals, seconds, longest)
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
    assert chaos.script.edits > 10 * seconds / 8
    assert expiries
    assert chaos.script.rejected
    assert min(kills.values()) > seconds / longest / 4
