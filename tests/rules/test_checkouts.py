"""A checkout that moves every rule, while masters, single looks and fresh engines look."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from functools import partial
from itertools import groupby
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Final

import anyio
import pytest
from support.commands import command, environment
from support.master import fill
from support.waiting import eventually, until

from eventstore import EventStore
from eventstore.system.inotify_tree import TreeEvents
from projections.rules import RuleSync
from projections.rules.sources._source_reader import SourceReader

if TYPE_CHECKING:
    from eventstore import Event
    from eventstore.system.inotify import Changes
    from projections.rules.sources.reconcile import Verdict

pytestmark = pytest.mark.anyio

TESTS: Final = Path(__file__).parents[1]
BRANCHES: Final = ("old", "new")


@pytest.fixture(params=["asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run on one kind of event loop: the processes are what counts here."""
    return str(request.param)


def repository(folder: Path, files: int) -> dict[str, set[str]]:
    """Make a repository of two branches, each with the rules at other places; return their ids."""
    rules = folder / "rules"
    git(fill(folder, {}), "init", "-q", "-b", BRANCHES[0])
    trees = {}
    for number, branch in enumerate(BRANCHES):
        if number:
            git(folder, "checkout", "-q", "-b", branch)
            git(folder, "rm", "-q", "-r", "rules")
        names = {f"{branch}/{n % 7}/r{n}.yar": f"rule r{n}\n" for n in range(files)}
        fill(rules, names)
        git(folder, "add", "-A")
        git(folder, "commit", "-q", "-m", branch)
        trees[branch] = set(names)
    return trees


def git(folder: Path, *words: str) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "gc.auto=0"]
    subprocess.run(["git", "-C", str(folder), *who, *words], capture_output=True, check=True)


class Sets:
    """The ids that stand after each commit that changed a rule, read on from where it was."""

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._position = 0
        self._standing: set[str] = set()
        self.found: list[set[str]] = []

    async def read_on(self) -> Sets:
        """Take in what was appended since."""
        events = [event async for event in self._store.read(after=self._position)]
        for _, commit in groupby(events, key=lambda event: event.commit):
            for event in commit:
                self._take(event)
                self._position = event.position
            if self._standing != (self.found[-1] if self.found else set()):
                self.found.append(set(self._standing))
        return self

    def _take(self, event: Event) -> None:
        if event.type == "RuleDefined":
            self._standing.add(event.data["rule_id"])
        elif event.type == "RuleRemoved":
            self._standing.discard(event.data["rule_id"])


@pytest.mark.promise("sources")
@pytest.mark.parametrize(
    ("files", "rounds"),
    [
        pytest.param(60, 2, marks=pytest.mark.slow),
        pytest.param(1_000, 50, marks=[pytest.mark.soak, pytest.mark.timeout(3600)]),
    ],
)
async def test_no_look_takes_half_of_a_checkout(tmp_path: Path, files: int, rounds: int) -> None:
    trees = repository(tmp_path, files)
    root, url = tmp_path / "rules", f"sqlite:///{tmp_path}/rules.eventstore.db"
    random, loaded, failed = Random(files), [], []
    settings = environment(
        EVENTSTORE_URL=url, EVENTSTORE_RULES_DIR=str(root), EVENTSTORE_RULES_FORMAT="raw"
    )

    async def look(wait: float) -> None:
        await anyio.sleep(wait)
        words = ("sync", "rules", "--once", "--source", "rules", "--format", "raw")
        done = await anyio.run_process(command(*words), cwd=tmp_path, env=settings, check=False)
        if done.returncode:
            failed.append(done.stderr.decode())

    async def engine(wait: float) -> None:
        await anyio.sleep(wait)
        program = [sys.executable, str(TESTS / "programs" / "fresh_engine.py")]
        path = settings | {"PYTHONPATH": str(TESTS)}
        done = await anyio.run_process(program, cwd=tmp_path, env=path)
        loaded.append(set(done.stdout.decode().split()))

    async with EventStore.open(url) as store, anyio.create_task_group() as following:
        master = RuleSync(store, root, source="rules", format="raw")
        await master.sync_once()
        sets = Sets(store)
        following.start_soon(master.run)
        for number in range(rounds):
            branch = BRANCHES[number % 2]
            async with anyio.create_task_group() as looks:
                looks.start_soon(look, random.uniform(0, 0.5))
                looks.start_soon(engine, random.uniform(0, 0.5))
                await anyio.sleep(random.uniform(0, 1))
                await anyio.to_thread.run_sync(git, tmp_path, "checkout", "-q", branch)

            await eventually(partial(arrived, sets, trees[branch]))
        following.cancel_scope.cancel()
    found = sets.found
    whole = list(trees.values())
    assert failed == []
    assert [len(one) for one in found if one not in whole] == []
    assert [len(one) for one in loaded if one not in whole] == []
    assert len(loaded) == rounds
    print(f"{rounds} checkouts of {files} rules: {len(found)} commits, {len(loaded)} engines")


async def test_a_checkout_that_removes_the_root_and_makes_it_again_is_one_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, lock = tmp_path / "rules", tmp_path / ".git" / "index.lock"
    fill(root, {f"old{n}.yar": f"rule r{n}\n" for n in range(5)})
    new = {f"new{n}.yar": f"rule r{n}\n" for n in range(5)}
    lock.parent.mkdir()
    url = f"sqlite:///{tmp_path}/rules.eventstore.db"
    looks, watching = spied(monkeypatch), HeldThread(monkeypatch)
    async with EventStore.open(url) as store, anyio.create_task_group() as following:
        master = RuleSync(store, root, source="rules", format="raw", rescan_seconds=0.05)
        await master.sync_once()
        following.start_soon(master.run)
        sets = Sets(store)
        await until(lambda: len(looks) > 2)
        watching.free.clear()  # As on a machine that is busy: looks read what happens before it.
        await until(watching.stands.is_set)
        lock.touch()
        shutil.rmtree(root)
        fill(root, {"new0.yar": new["new0.yar"]})
        await until(lambda: looks[-1] == {"new0.yar"})
        fill(root, new)
        lock.unlink()
        await eventually(lambda: arrived(sets, set(new)))
        watching.free.set()
        following.cancel_scope.cancel()
    assert sets.found == [{f"old{n}.yar" for n in range(5)}, set(new)]


class HeldThread:
    """Lets the thread that watches stand still unless it is ``free``; ``stands`` once it does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free, self.stands = threading.Event(), threading.Event()
        self.free.set()
        self._wait = TreeEvents.wait
        monkeypatch.setattr(TreeEvents, "wait", lambda events, _: self.wait(events))

    def wait(self, events: TreeEvents) -> Changes:
        if not self.free.is_set():
            self.stands.set()
            self.free.wait()
        return self._wait(events, 0.01)


def spied(monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """Return the list of which files each look has found."""
    looks: list[set[str]] = []
    look = SourceReader.look

    def noted(self: SourceReader, *given: Any) -> Verdict:
        verdict = look(self, *given)
        looks.append(set(self.files))
        return verdict

    monkeypatch.setattr(SourceReader, "look", noted)
    return looks


async def arrived(sets: Sets, expected: set[str]) -> bool:
    """Read on, and return whether these rules stand."""
    return (await sets.read_on()).found[-1] == expected
