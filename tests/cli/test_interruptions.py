"""Every command interrupted at random moments: its status, and what it left.

A moment is a number of function calls that the interpreter has made, not a time: the signal comes
from within the process, wherever it then is, so that a slow machine takes the same steps.
"""

from __future__ import annotations

import random
import shutil
import subprocess
from typing import TYPE_CHECKING

import anyio
import pytest
from support.in_process import in_process
from support.master import fill, ttp
from support.processes import environment
from support.processes import words as program

from eventstore import EventStore

if TYPE_CHECKING:
    from pathlib import Path

    from _pytest.mark.structures import ParameterSet

pytestmark = pytest.mark.timeout(900)


def moments(count: int) -> list[ParameterSet]:
    """Interrupt each command so often in CI, and ten times in the long runs."""
    return [
        pytest.param(count, id=f"{count}", marks=pytest.mark.slow),
        pytest.param(10, id="10", marks=pytest.mark.soak),
    ]


ONE_SHOT = {
    "export": ["export", "out.export"],
    "import": ["import", "whole.export", "--url", "sqlite:///filled.db"],
    "wait": ["wait", "--timeout", "3"],
    "rebuild": ["rebuild", "rules"],
    "project": ["project", "live", "--once"],
    "project --at": ["project", "live", "--at", "20"],
    "sync": ["sync", "rules", "--once"],
    "trim": ["trim", "--before", "10", "--force"],
    "backup": ["backup", "copy.db"],
    "restore": ["restore", "old.db", "--replace"],
    "verify": ["verify"],
    "check": ["check", "rules"],
    "append": ["append", "order/1", "Noted", "--id", "only"],
    "state": ["state", "R1", "disabled"],
    "status": ["status"],
    "history": ["history", "R1"],
    "show": ["show", "R1"],
    "streams": ["streams"],
    "rules": ["rules"],
    "redact": ["redact", "1", "--reason", "x"],
    "tail": ["tail", "--no-follow"],
}
FOLLOWERS = {
    "tail -f": ["tail"],
    "sync -f": ["sync", "rules"],
    "project -f": ["project", "live"],
    "up": ["up", "--rules", "rules", "--to", "live"],
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a log with rules that a master has not seen yet, an export and an older copy."""
    tmp_path = tmp_path_factory.mktemp("made")
    run = in_process(tmp_path)
    texts = {f"R{number}.yml": ttp(f"R{number}") for number in range(30)}
    fill(tmp_path / "rules", texts)
    for words in (
        ("sync", "rules", "--once"),
        ("backup", "old.db"),
        ("export", "whole.export"),
        ("project", "live", "--once"),
        ("tail", "--no-follow", "--consumer", "w"),
    ):
        assert run(*words).returncode == 0
    changed = {f"R{number}.yml": ttp(f"R{number}", "second") for number in range(15)}
    fill(tmp_path / "rules", changed)
    return tmp_path


@pytest.fixture
def prepared(made: Path, tmp_path: Path) -> Path:
    """Copy what was made."""
    return shutil.copytree(made, tmp_path, dirs_exist_ok=True)


def interrupt(words: list[str], cwd: Path, calls: int, number: int) -> tuple[int, str]:
    """Run a command that sends itself a signal after so many calls."""
    done = subprocess.run(
        program("interrupted", calls, number, *words), cwd=cwd, env=environment(),
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stderr


def state_of(cwd: Path) -> dict[str, object]:
    """Return what a command may have changed: the log, which must verify, and the projection."""

    async def look() -> tuple[int, int]:
        async with EventStore.open(f"sqlite:///{cwd}/eventstore.db") as store:
            report = await store.verify()
            assert report.ok, report.findings
            head = await store.head()
            return head.first_position, head.position

    first, position = anyio.run(look)
    live = {path.name: path.read_text() for path in (cwd / "live").glob("*.yml")}
    return {"first": first, "position": position, "live": live}


@pytest.mark.promise("bad-input")
@pytest.mark.parametrize("count", moments(1))
@pytest.mark.parametrize("words", ONE_SHOT.values(), ids=ONE_SHOT.keys())
def test_an_interrupted_command_says_so_and_leaves_all_or_nothing(
    prepared: Path, tmp_path: Path, words: list[str], count: int
) -> None:
    before = state_of(prepared)
    rng = random.Random(" ".join(words))
    total = calls_of(words, shutil.copytree(prepared, tmp_path / "counted"))
    for round_ in range(count):
        here = shutil.copytree(prepared, tmp_path / f"round{round_}", ignore=only_data)
        number = rng.choice((2, 15))
        # Most calls are imports: every other signal comes while the command does its work.
        moment = rng.randrange(1 if round_ % 2 else total * 3 // 4, total)
        status, said = interrupt(words, here, moment, number)
        assert status in {0, 1, 128 + number}, said
        assert "Traceback" not in said
        assert not list(here.rglob("*.partial*"))
        after = state_of(here)
        if status == 128 + number:
            assert_old(words[0], before, after, here)


def only_data(_folder: str, names: list[str]) -> set[str]:
    """Leave out the copies of other rounds."""
    return {name for name in names if name.startswith(("round", "counted"))}


def assert_old(
    command: str, before: dict[str, object], after: dict[str, object], here: Path
) -> None:
    """Assert that nothing was changed, or the one transaction of the command was committed."""
    if command not in {"project", "rebuild"}:
        assert after["live"] == before["live"]
    for name in ("out.export", "copy.db"):
        assert not (here / name).exists()
    if command not in {"sync", "trim", "append", "state", "redact", "restore"}:
        assert (after["first"], after["position"]) == (before["first"], before["position"])


def calls_of(words: list[str], here: Path) -> int:
    """Return how many calls a command makes in its main thread and others, uninterrupted."""
    interrupt(words, here, 0, 0)
    return int((here / "calls").read_text())


@pytest.mark.parametrize("count", moments(2))
@pytest.mark.parametrize("words", FOLLOWERS.values(), ids=FOLLOWERS.keys())
def test_a_follower_ends_with_0_at_any_moment(
    prepared: Path, tmp_path: Path, words: list[str], count: int
) -> None:
    rng = random.Random(" ".join(words))
    for round_ in range(count):
        here = shutil.copytree(prepared, tmp_path / f"round{round_}", ignore=only_data)
        # Importing the program alone makes more calls than a follower makes until it waits.
        status, said = interrupt(words, here, rng.randrange(1, 800_000), rng.choice((2, 15)))
        assert (status, "Traceback" in said) == (0, False), said
        state_of(here)
