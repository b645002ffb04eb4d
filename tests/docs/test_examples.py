"""The example engine, run as a process against the sample rules."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from support.commands import REPOSITORY, environment
from support.master import ttp
from support.waiting import DEADLINE, eventually

from eventstore import EventStore
from projections.rules import RuleState, RuleStore
from projections.rules.fleet import read_fleet, worker_values

if TYPE_CHECKING:
    from collections.abc import Iterator

GUESSING = {
    "kind": "authentication",
    "service": {"name": "SSHD"},
    "event": {"outcome": "failure", "count": 12, "window_seconds": 60},
    "source": {"address": "192.0.2.7"},
}


class Engine:
    """The example in a process of its own, spoken to by lines."""

    def __init__(self, cwd: Path, *words: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", str(REPOSITORY / "examples" / "engine.py"), *words],
            cwd=cwd,
            env=environment(EVENTSTORE_RULES_DIR="ttp"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def line(self) -> str:
        """Wait for the next line of output; the test's own timeout is the deadline."""
        assert self.process.stdout is not None
        if line := self.process.stdout.readline():
            return line.rstrip("\n")
        assert self.process.stderr is not None
        raise AssertionError(f"the engine ended: {self.process.stderr.read()}")

    def tell(self, event: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write((event if isinstance(event, str) else json.dumps(event)) + "\n")
        self.process.stdin.flush()

    def judge(self, event: Any) -> str:
        """Give it an event; return the next line."""
        self.tell(event)
        return self.line()

    def end(self) -> tuple[int, str, str]:
        """Close its input; return its status and what else it said."""
        out, err = self.process.communicate(timeout=DEADLINE)
        return self.process.returncode, out, err


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """Give a copy of the sample rules."""
    return Path(shutil.copytree(REPOSITORY / "config" / "rules" / "ttp", tmp_path / "ttp"))


@pytest.fixture
def engine(rules: Path) -> Iterator[Engine]:
    """Give an engine that has loaded them from the directory."""
    engine = Engine(rules.parent)
    assert engine.line().startswith("16 rules")
    yield engine
    engine.process.kill()
    engine.process.communicate()


def set_state(rules: Path, rule_id: str, state: RuleState) -> None:
    async def set_it() -> None:
        async with EventStore.open(f"sqlite:///{rules}.eventstore.db") as store:
            await RuleStore(store).set_state(rule_id, state, set_by="ana")

    anyio.run(set_it)


def test_an_event_that_a_rule_describes_is_found(engine: Engine) -> None:
    finding = engine.judge(GUESSING)
    assert finding.startswith("finding    R1008  credential-access T1110.001 ")
    assert "192.0.2.7" in finding


def test_what_it_runs_is_known_after_it_was_killed(rules: Path) -> None:
    (rules / "dns_tunnel_long_labels.yml").write_text(ttp("R1012"))  # no language that it knows
    engine = Engine(rules.parent, "--worker", "engine-1")
    url = f"sqlite:///{rules}.eventstore.db"

    async def has(word: str) -> bool:
        async with EventStore.open(url) as store:
            found = (await read_fleet(store)).workers
        return bool(found) and word in str(worker_values(found[0]))

    try:
        assert engine.line().startswith("16 rules")
        anyio.run(eventually, lambda: has("R1012"))
        (rules / "dns_tunnel_long_labels.yml").unlink()
        assert "removed" in engine.line()
        anyio.run(eventually, lambda: has("'current'"))
    finally:
        engine.process.kill()
        engine.process.communicate()
    assert anyio.run(has, "'engine-1'")


def test_an_event_that_none_describes_is_not(engine: Engine) -> None:
    engine.tell({**GUESSING, "event": {**GUESSING["event"], "count": 9}})  # type: ignore[dict-item]
    engine.tell({**GUESSING, "kind": "weather"})
    engine.tell({"kind": ["authentication"]})
    assert engine.end() == (0, "", "")


def test_what_is_no_event_is_said_and_passed_over(engine: Engine) -> None:
    assert engine.judge("{").startswith("error      no event")
    assert engine.judge("[1]").startswith("error      no event")
    assert engine.judge(GUESSING).startswith("finding")


@pytest.mark.slow
def test_states_take_effect_while_it_runs(engine: Engine, rules: Path) -> None:
    set_state(rules, "R1008", RuleState("clipped", 0.1))
    assert engine.line() == "state      R1008  clipped"
    assert " 0.1 " in engine.judge(GUESSING)
    set_state(rules, "R1008", RuleState("clipped", 1.0))
    assert engine.line() == "state      R1008  clipped"
    assert " 1.0 " not in engine.judge(GUESSING), "a ceiling never raises"
    set_state(rules, "R1008", RuleState("disabled"))
    assert engine.line() == "state      R1008  disabled"
    engine.tell(GUESSING)
    assert engine.end() == (0, "", "")


@pytest.mark.slow
def test_rules_change_while_it_runs(engine: Engine, rules: Path) -> None:
    (rules / "ssh_password_guessing.yml").unlink()
    assert engine.line() == "definition R1008  removed"
    engine.tell(GUESSING)
    new = ttp("R2000").replace("image: cmd.exe", "all: [{field: a.b, equals: true}]")
    (rules / "new.yml").write_text(new)
    assert engine.line() == "definition R2000  version 1: first"
    assert engine.judge({"kind": "process", "a": {"b": True}}).startswith("finding    R2000")
    engine.tell({"kind": "process", "a": {"b": 1}})
    assert engine.end() == (0, "", "")


def test_a_match_in_another_language_is_an_error_of_that_rule_only(
    engine: Engine, rules: Path
) -> None:
    (rules / "odd.yml").write_text(ttp("R2000").replace("[process]", "[authentication]"))
    assert engine.line().startswith("definition R2000")
    assert engine.judge(GUESSING).startswith("finding    R1008")
    assert engine.line().startswith("error      R2000")


@pytest.mark.slow
def test_it_loads_from_a_url(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/events.db"
    samples = REPOSITORY / "config" / "rules" / "ttp"
    sync = [sys.executable, "-m", "eventstore.cli", "--url", url, "sync", str(samples), "--once"]
    subprocess.run(sync, cwd=tmp_path, env=environment(), check=True, capture_output=True)
    engine = Engine(tmp_path, "--url", url)
    engine.tell(GUESSING)
    status, out, err = engine.end()
    assert (status, err) == (0, "")
    assert "finding    R1008" in out


@pytest.mark.parametrize(("words", "named"), [(["--url", "pigeon://"], "pigeon"), ([], "ttp")])
def test_trouble_is_named_without_a_traceback(tmp_path: Path, words: list[str], named: str) -> None:
    (tmp_path / "ttp").write_text("no directory")
    status, _, err = Engine(tmp_path, *words).end()
    assert status == 1
    # What the store's own thread warns of may come before it or after.
    (line,) = (line for line in err.splitlines() if line.startswith("error: "))
    assert named in line
    assert "Traceback" not in err
