"""``fleet`` and ``status --drift``: who has which rules, in words and by exit status."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from support.in_process import in_process
from support.master import fill, ttp
from support.waiting import wait_until

from eventstore import EventStore
from projections.rules import RuleStore, RuleSync

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.commands import Run, Running

HOSTILE = "\u202eodd [red]<b>\u00e9"


@pytest.fixture
def here(tmp_path: Path) -> Run:
    return in_process(tmp_path)


async def make_fleet(folder: Path) -> None:
    """Let a worker run what it should, another one without R1, and know a third as a consumer."""
    fill(folder / "rules", {"1.yml": ttp("R1"), "2.yml": ttp("R2")})
    async with EventStore.open(f"sqlite:///{folder}/eventstore.db", clock=lambda: 1_000_000) as log:
        await RuleSync(log, folder / "rules").sync_once()
    async with EventStore.open(f"sqlite:///{folder}/eventstore.db") as log:
        rules = RuleStore(log)
        loaded = await rules.load_compiled()
        await rules.report_loaded(loaded, worker="good", engine="mine", version="2")
        await rules.report_loaded(loaded[1:], worker=HOSTILE, rejected={"R1": "no regex"})
        async with log.subscribe_changes(consumer="mute"):
            pass


def test_the_fleet_is_listed_those_in_trouble_first(here: Run, tmp_path: Path) -> None:
    none = here("fleet", EVENTSTORE_URL="memory://")
    assert none.returncode == 1  # a log in memory is not there before its program
    anyio.run(make_fleet, tmp_path)
    done = here("fleet")
    intended, counted, head, *rows = done.stdout.splitlines()
    assert intended.startswith("intended: 2 rules, unchanged since position 2, hash ")
    assert counted == "fleet: 3 workers: 1 drift, 1 unknown, 1 current"
    assert " ".join(head.split()) == "worker is delivered loaded told engine differs in"
    assert [row.split("  ")[0].strip() for row in rows][1:] == ["mute", "good"]
    assert "R1 missing (rejected: no regex)" in rows[0]
    assert "\u202e" not in done.stdout
    assert "mine 2" in rows[2]
    found: list[dict[str, Any]] = [
        json.loads(line) for line in here("--json", "fleet").stdout.splitlines()
    ]
    assert [one["verdict"] for one in found] == ["drift", "unknown", "current"]
    assert (found[0]["worker"], found[0]["rejected"]) == (HOSTILE, [["R1", "no regex"]])
    assert found[2]["hash"] == found[2]["intended"]
    who = here("fleet", "--rule", "R1").stdout.splitlines()[3:]
    assert "rejected" in who[0]
    assert (done.returncode, here("fleet", "--strict").returncode) == (0, 1)
    for words, named in (("--rule", "R0"), "rule 'R0'"), (("forget", "R0"), "worker 'R0'"):
        refused = here("fleet", *words)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert refused.stderr.startswith(f"error: {named}: ")


def test_a_probe_ends_with_1_while_a_worker_drifts(here: Run, tmp_path: Path) -> None:
    anyio.run(make_fleet, tmp_path)
    done = here("status", "--drift")
    assert done.returncode == 1
    assert "fleet: 3 workers: 1 drift" in done.stdout
    assert "runs other rules than it should" in done.stderr
    assert here("status").returncode == 0
    assert here("fleet", "forget", "--", HOSTILE).returncode == 0
    done = here("status", "--drift")
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 workers: 1 unknown, 1 current" in done.stdout


def test_tail_reports_as_its_consumer_and_stays_known_when_killed(
    here: Run, start: Callable[..., Running], tmp_path: Path
) -> None:
    anyio.run(make_fleet, tmp_path)
    tail = start("tail", "--consumer", "mute")

    def verdict() -> tuple[str, str]:
        found = [json.loads(line) for line in here("--json", "fleet").stdout.splitlines()]
        (worker,) = [one for one in found if one["worker"] == "mute"]
        return worker["verdict"], worker.get("engine", "")

    wait_until(lambda: verdict() == ("current", "eventstore tail"))
    assert here("state", "R2", "disabled").returncode == 0
    tail.lines_until("disabled")
    wait_until(lambda: verdict() == ("current", "eventstore tail"))
    tail.process.kill()
    tail.process.wait()
    assert verdict()[1] == "eventstore tail"
