"""Runners and writers that are killed at random moments leave the view that was never killed.

``pytest -m soak -s tests/tables/test_killed_runners.py`` kills 50 of each kind on each database:
200 of views in tables, 100 of directories.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from support.lengths import lengths
from support.processes import lines_until_killed
from support.rule_events import definition_data
from support.totals import Totals, read_totals

from eventstore import EventStore, NewEvent, StreamWrite
from projections import DirectoryProjection, ProjectionRunner

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]

SEED = 20_261
COMMITS = 40
"""Commits that are appended before each kill."""

MOST_LINES = 16
"""What a runner says before it is killed: two lines a batch."""

MOST_EVENTS = 200
"""What a writer says before it is killed: a line an event that it catches up, two an append."""


def path_of(dice: Random) -> str:
    """Return one of a few paths, so that files are changed, moved and removed."""
    return f"{dice.choice('abc')}/{dice.randrange(8)}.yml"


class Rules:
    """Random definitions and removals of rules, and the files that they leave."""

    def __init__(self, dice: Random, root: Path) -> None:
        self._dice = dice
        self.place = str(root)
        self.root = root
        self.expected: dict[str, bytes] = {}
        self._paths: dict[str, str] = {}

    def commit(self) -> list[StreamWrite]:
        """Return a commit: some rules, each once."""
        writes = []
        for key in self._dice.sample([f"R{number}" for number in range(12)], 3):
            old = self._paths.pop(key, None)
            self.expected.pop(old or "", None)
            path, content = path_of(self._dice), self._dice.randbytes(40)
            if path in self.expected or self._dice.random() < 0.3:
                event = NewEvent("RuleRemoved", {"rule_id": key, "source": "s", "path": old})
            else:
                event = NewEvent("RuleDefined", definition_data(key, path, content))
                self.expected[path], self._paths[key] = content, path
            writes.append(StreamWrite(f"rule/{key}", [event]))
        return writes

    def view(self, place: str) -> DirectoryProjection:
        return DirectoryProjection(place)

    def read(self, place: str) -> dict[str, bytes]:
        """Return the files, without those of the projection itself."""
        root = self.root.parent / place
        return {
            str(path.relative_to(root)): path.read_bytes()
            for path in root.rglob("*")
            if path.is_file() and not path.name.startswith(".eventstore")
        }


class Numbers:
    """Random numbers in a few streams, and their sums."""

    def __init__(self, dice: Random, url: str) -> None:
        self._dice = dice
        self.place = url
        self.expected: dict[str, int] = {}

    def commit(self) -> list[StreamWrite]:
        """Return a commit: numbers in some streams."""
        writes = []
        for key in self._dice.sample([f"n/{number}" for number in range(6)], 3):
            number = self._dice.randrange(1_000)
            self.expected[key] = self.expected.get(key, 0) + number
            writes.append(StreamWrite(key, [NewEvent("Counted", number)]))
        return writes

    def view(self, place: str) -> Any:
        return Totals().at(place)

    def read(self, place: str) -> dict[str, int]:
        return read_totals(place)


@pytest.mark.promise("projection")
@pytest.mark.parametrize("view", ["directory", "database"])
@lengths("kills", 1, slow=4, soak=50, timeout=1800)
async def test_runners_killed_at_random_moments_end_in_an_equal_view(
    log: str, target: str, tmp_path: Path, view: str, kills: int
) -> None:
    dice = Random(SEED)
    model = Rules(dice, tmp_path / "live") if view == "directory" else Numbers(dice, target)
    async with EventStore.open(log, notify="none") as store:
        for _ in range(kills):
            for _ in range(COMMITS):
                await store.append_many(model.commit())
            said = dice.randint(1, MOST_LINES)
            lines_until_killed(said, "killed_runner", log, view, model.place)
        await ProjectionRunner(store, model.view(model.place)).catch_up()
        assert model.read(model.place) == model.expected
        position = (await store.head()).position
    print(f"\n{view} of {log.partition(':')[0]}: {kills} runners killed, equal at {position}")


@pytest.mark.promise("projection")
@pytest.mark.slow
@lengths("kills", 4, soak=50, timeout=1800)
async def test_writers_killed_at_random_moments_leave_an_inline_view_that_is_right(
    log: str, kills: int
) -> None:
    dice, mine = Random(SEED), 0
    model = Numbers(dice, log)
    for _ in range(kills):
        async with EventStore.open(log, notify="none") as store:
            for _ in range(COMMITS):
                await store.append_many(model.commit())
        said = lines_until_killed(dice.randint(1, MOST_EVENTS), "killed_writer", log)
        acknowledged = [line.split()[1] for line in said if line.startswith("acknowledged")]
        async with EventStore.open(log, inline=[Totals()], notify="none") as store:
            stored = [event async for event in store.read(streams="mine/")]
            assert {event.data for event in stored} <= {3}
            assert {int(position) for position in acknowledged} <= {e.position for e in stored}
            assert len(stored) - mine - len(acknowledged) in {0, 1}
            mine = len(stored)
            position = (await store.head()).position
        ours = {"mine/1": 3 * mine} if mine else {}
        assert read_totals(log) == model.expected | ours
    print(f"\ninline in {log.partition(':')[0]}: {kills} writers killed, equal at {position}")
