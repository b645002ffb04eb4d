"""Rolling deployments: two versions of one projection in processes on one log, and kills.

Each line that a process writes to stderr has to be one that its part in the deployment explains.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select
from support.processes import child, lines, wait_for
from support.totals import Totals, counts, one_moment, reader_of
from support.waiting import collect, eventually

from eventstore import EventStore, NewEvent
from projections import ProjectionRunner
from projections.tables.checkpoints import projection_table

if TYPE_CHECKING:
    import subprocess
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.promise("projection"),
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.parametrize("anyio_backend", ["asyncio"]),
]

HISTORY = 600
"""Events before the first process: enough for many steps of a new version."""

STEPS_ASIDE = "projection 'totals' is of version 2, this program computes version 1: run the newer "
EXPLAINED = {
    "inline": (
        rf"v1 WARNING eventstore\.log\.inline_view {STEPS_ASIDE}.*; this process appends without.*",
        rf"v1 ERROR root ProjectionVersionError: {STEPS_ASIDE}.*",
    ),
    "followed": (
        rf"v1 ERROR root ProjectionVersionError: {STEPS_ASIDE}.*",
        r"v[12] ERROR root TakenOverError: 'projection totals' was taken over by a newer runner.*",
    ),
}
"""What processes may write to stderr, by where the view is kept, after the process's version."""


class Rollout:
    """A log with a history, the projection's place, and the processes that come and go."""

    def __init__(self, log: str, place: str, outputs: Path) -> None:
        self.log, self.place, self._outputs = log, place, outputs
        self._stack = ExitStack()
        outputs.mkdir()

    @property
    def database(self) -> str:
        """Where the tables are."""
        return self.log if self.place == "inline" else self.place

    def start(self, version: int, on_newer: str = "skip") -> subprocess.Popen[str]:
        """Start a process of one version."""
        number = len(list(self._outputs.iterdir()))
        stderr = self._stack.enter_context((self._outputs / f"{number}-v{version}").open("wb"))
        program = child("rolling_view", self.log, self.place, version, on_newer, stderr=stderr)
        return self._stack.enter_context(program)

    def close(self) -> list[str]:
        """End all processes; return each line that they wrote to stderr."""
        self._stack.close()
        return [
            f"{path.name.partition('-')[2]} {line}"
            for path in sorted(self._outputs.iterdir())
            for line in path.read_text().splitlines()
        ]

    def opened(self, version: int) -> subprocess.Popen[str]:
        """Start a process, and wait until it is open."""
        process = self.start(version)
        wait_for(process, "open")
        return process

    def append(self, process: subprocess.Popen[str], count: int = 20) -> None:
        """Let a process append so many commits."""
        tell(process, f"append {count}")
        wait_for(process, "appended")

    async def stored(self) -> tuple[int, int]:
        """Return version and position of the tables; fail where a row is not what they say."""
        engine = reader_of(self.database)
        with engine.connect() as connection:
            one_moment(connection, "counts")
            version, position = connection.execute(
                select(projection_table.c.version, projection_table.c.position)
            ).one()
            found = {row.key: row.total for row in connection.execute(select(counts))}
        engine.dispose()
        expected: Counter[str] = Counter()
        async with EventStore.open(self.log) as store:
            for event in await collect(store.read(until=position or 0)):
                expected[event.stream] += version * event.data
        assert found == dict(expected), (version, position)
        return version, position or 0

    async def head(self) -> int:
        """Return the head's position."""
        async with EventStore.open(self.log) as store:
            return (await store.head()).position

    async def reaches(self, version: int) -> None:
        """Wait until the tables are of this version and at the head; fail once they stand still.

        Each look checks the rows.
        """
        head, found = await self.head(), await self.stored()
        while found != (version, head):
            before = found

            async def moved() -> bool:
                return self._moment() != before  # noqa: B023 - it is awaited within the turn

            await eventually(moved, within=300)
            head, found = await self.head(), await self.stored()

    def _moment(self) -> tuple[int, int]:
        """Return version and position of the tables."""
        engine = reader_of(self.database)
        with engine.connect() as connection:
            c = projection_table.c
            version, position = connection.execute(select(c.version, c.position)).one()
        engine.dispose()
        return version, position or 0


def tell(process: subprocess.Popen[str], line: str) -> None:
    """Send a process a line."""
    assert process.stdin is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


def end(process: subprocess.Popen[str]) -> None:
    """Let a process end by itself."""
    assert process.stdin is not None
    process.stdin.close()
    process.stdin = None  # Else its last output would be asked for with a line.
    process.wait()


@pytest.fixture(params=["inline", "followed"])
async def rollout(
    request: pytest.FixtureRequest, log: str, target: str, tmp_path: Path
) -> AsyncIterator[Rollout]:
    """Give a log with a history that the projection has come to, in its first version."""
    inline = request.param == "inline"
    async with EventStore.open(log, inline=[Totals()] if inline else []) as store:
        for number in range(HISTORY // 50):
            await store.append(f"n/{number % 4}", [NewEvent("Counted", n) for n in range(50)])
        if not inline:
            await ProjectionRunner(store, Totals().at(target)).catch_up()
    rolling = Rollout(log, "inline" if inline else target, tmp_path / "stderr")
    try:
        yield rolling
    finally:
        said = rolling.close()
    explained = "|".join(EXPLAINED[request.param])
    assert [line for line in said if not re.fullmatch(explained, line)] == []


async def test_old_and_new_append_in_turn(rollout: Rollout) -> None:
    old = rollout.opened(1)
    rollout.append(old)
    await rollout.reaches(1)
    new = rollout.opened(2)
    await rollout.reaches(2)
    for process in (old, new, old, new):
        rollout.append(process)
        assert (await rollout.stored())[0] == 2
    await rollout.reaches(2)


async def test_a_new_process_that_is_killed_while_it_opens_leaves_right_rows(
    rollout: Rollout,
) -> None:
    old = rollout.opened(1)
    for _ in range(5):
        new = rollout.start(2)
        rollout.append(old, random.randint(1, 30))
        new.kill()
        new.wait()
        assert (await rollout.stored())[0] in {1, 2}
    last = rollout.opened(2)
    rollout.append(last)
    await rollout.reaches(2)


async def test_old_and_new_append_at_once_and_are_killed(rollout: Rollout) -> None:
    for _ in range(3):
        both = [rollout.start(1), rollout.start(2)]
        for process in both:
            wait_for(process, "open")
            tell(process, "storm")
        for process in both:
            said = 0
            for line in lines(process):
                said += line == "stormed"
                if said == 10:
                    break
        for process in random.sample(both, 2):
            process.kill()
            process.wait()
            await rollout.stored()
    rollout.append(rollout.opened(2))
    await rollout.reaches(2)


async def test_a_downgrade_appends_without_the_view_and_the_new_one_catches_up(
    rollout: Rollout,
) -> None:
    new = rollout.opened(2)
    rollout.append(new)
    await rollout.reaches(2)
    end(new)
    for _ in range(2):
        old = rollout.opened(1)
        rollout.append(old)
        assert (await rollout.stored())[0] == 2
        end(old)
    assert await rollout.stored() < (2, await rollout.head())
    again = rollout.opened(2)
    rollout.append(again)
    await rollout.reaches(2)


@pytest.mark.parametrize("rollout", ["inline"], indirect=True)
async def test_an_old_process_that_is_to_refuse_refuses_each_append(rollout: Rollout) -> None:
    old = rollout.start(1, "refuse")
    wait_for(old, "open")
    rollout.append(old)
    rollout.append(rollout.opened(2))
    before = await rollout.head()
    tell(old, "append 1")
    wait_for(old, "ProjectionVersionError")
    assert await rollout.head() == before
    wait_for(rollout.start(1, "refuse"), "ProjectionVersionError")
    await rollout.reaches(2)


@pytest.mark.parametrize("rollout", ["followed"], indirect=True)
async def test_an_old_runner_steps_aside_with_a_typed_error(rollout: Rollout) -> None:
    old = rollout.opened(1)
    new = rollout.opened(2)
    await rollout.reaches(2)
    rollout.append(new)
    said = next(line for line in lines(old) if not line.startswith("following"))
    assert said in {"TakenOverError", "ProjectionVersionError"}
    wait_for(rollout.opened(1), "ProjectionVersionError")
    await rollout.reaches(2)
