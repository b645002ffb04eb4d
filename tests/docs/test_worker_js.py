"""The example worker in JavaScript, run by Node against a server: it speaks the protocol alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from support.commands import REPOSITORY
from support.rule_events import definition_data
from support.served import serving_log
from support.waiting import wait_until

from eventstore import NewEvent
from projections.rules.holds import hold_rules, release_rules

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Self

    from support.served import Served

pytestmark = pytest.mark.slow


@pytest.fixture
def node() -> str:
    """Return the interpreter; without one the test is skipped, but fails where one is promised."""
    found = shutil.which("node")
    if found is None:
        assert "RULETIDE_TEST_NODE" not in os.environ, "node is not on PATH"
        pytest.skip("node is not on PATH: the example in JavaScript is not run")
    return found


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


class Worker:
    """The example in a process of its own."""

    def __init__(self, node: str, served: Served, file: Path) -> None:
        self.file = file
        self.process = subprocess.Popen(
            [node, str(REPOSITORY / "examples" / "worker.js"), str(file)],
            env={**os.environ, "EVENTSTORE_URL": served.url},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def lines(self, count: int) -> list[str]:
        """Return the next lines of output; the test's own timeout is the deadline."""
        assert self.process.stdout is not None
        return [self.process.stdout.readline().rstrip("\n") for _ in range(count)]

    def kill(self) -> list[str]:
        """Kill it by SIGKILL; return the lines that it printed and nothing has read."""
        self.process.kill()
        with self.process as process:
            assert process.stdout is not None
            return process.stdout.read().splitlines()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.stdout is not None and not self.process.stdout.closed:
            self.kill()

    def stored(self) -> dict[str, Any]:
        """Return the rules that it has stored."""
        return dict(json.loads(self.file.read_text())["rules"]) if self.file.exists() else {}


def define(served: Served, rule_id: str, version: int) -> int:
    data = definition_data(rule_id, f"{rule_id}.yml", rule_version=version)
    return int(served.run(append(served, f"rule/{rule_id}", NewEvent("RuleDefined", data))))


async def append(served: Served, stream: str, event: NewEvent) -> int:
    return (await served.store.append(stream, [event])).position


def test_a_killed_worker_goes_on_and_misses_nothing(
    node: str, stack: ExitStack, tmp_path: Path
) -> None:
    served = stack.enter_context(serving_log("memory://"))
    for number in range(3):
        define(served, f"R{number}", 1)
    worker = stack.enter_context(Worker(node, served, tmp_path / "worker.json"))
    assert worker.lines(1) == ["loaded 3"]
    expected = [define(served, "R0", 1)]
    wait_until(worker.file.exists)  # From here on it goes on at its cursor.
    expected += [define(served, f"R{number % 3}", number) for number in range(20)]
    first = worker.lines(10)
    first += worker.kill()
    expected += [define(served, f"R{number % 3}", number) for number in range(20, 40)]
    removal = NewEvent("RuleRemoved", {"rule_id": "R2", "path": "R2.yml", "source": "s"})
    expected.append(served.run(append(served, "rule/R2", removal)))
    worker = stack.enter_context(Worker(node, served, tmp_path / "worker.json"))
    second: list[str] = []
    while not second or int(second[-1].split()[0]) < expected[-1]:
        second += worker.lines(1)
    told = [[int(line.split()[0]) for line in lines] for lines in (first, second)]
    # Each run is a part of what was appended; together they are all of it.
    for run in told:
        assert run == [position for position in expected if run[0] <= position <= run[-1]]
    assert sorted({*told[0], *told[1]}) == expected
    wait_until(lambda: set(worker.stored()) == {"R0", "R1"})
    assert worker.stored()["R0"]["rule"]["rule_version"] == 39


def test_a_worker_stays_at_held_rules_until_they_are_released(
    node: str, stack: ExitStack, tmp_path: Path
) -> None:
    served = stack.enter_context(serving_log("memory://"))
    good = define(served, "R1", 1)
    worker = stack.enter_context(Worker(node, served, tmp_path / "worker.json"))
    assert worker.lines(1) == ["loaded 1"]
    define(served, "R1", 2)
    assert worker.lines(1)[0].endswith("RuleDefined R1")
    served.run(hold_rules(served.store, good, by="ana"))
    assert worker.lines(1) == ["loaded 1"]
    define(served, "R2", 1)
    state: Any = {"rule_id": "R1", "state": {"state": "disabled"}}
    served.run(append(served, "rule-state/R1", NewEvent("RuleStateSet", state)))
    assert worker.lines(1)[0].endswith("RuleStateSet R1")  # And not R2 before it.
    wait_until(lambda: worker.stored().get("R1", {}).get("state") == {"state": "disabled"})
    assert worker.stored().keys() == {"R1"}
    assert worker.stored()["R1"]["rule"]["rule_version"] == 1
    served.run(release_rules(served.store, by="ana"))
    assert worker.lines(1) == ["loaded 2"]


def test_a_worker_loads_the_rules_of_another_log(
    node: str, stack: ExitStack, tmp_path: Path
) -> None:
    before = stack.enter_context(ExitStack())
    served = before.enter_context(serving_log("memory://", with_token=False))
    define(served, "R1", 1)
    worker = stack.enter_context(Worker(node, served, tmp_path / "worker.json"))
    assert worker.lines(1) == ["loaded 1"]
    define(served, "R1", 2)
    wait_until(lambda: set(worker.stored()) == {"R1"})
    before.close()
    other = stack.enter_context(serving_log("memory://", with_token=False, port=served.port))
    define(other, "R2", 1)
    while not worker.lines(1)[0].startswith("loaded"):
        pass
    state: Any = {"rule_id": "R2", "state": {"state": "disabled"}}
    other.run(append(other, "rule-state/R2", NewEvent("RuleStateSet", state)))
    wait_until(lambda: set(worker.stored()) == {"R2"})
    wait_until(lambda: worker.stored()["R2"]["state"]["state"] == "disabled")


def test_a_worker_whose_token_is_refused_ends(node: str, stack: ExitStack, tmp_path: Path) -> None:
    served = stack.enter_context(serving_log("memory://"))
    served.url = served.url.replace("@", "x@")
    worker = stack.enter_context(Worker(node, served, tmp_path / "worker.json"))
    assert worker.process.wait(60) == 1
    assert worker.process.stderr is not None
    assert "error: 401" in worker.process.stderr.read()
