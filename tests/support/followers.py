"""Many followers of one log, several in each process, and what an independent check finds.

Each follower writes down what it receives in a file of its own; :mod:`support.records`, a program
that knows nothing of the library, compares those with the log in the end.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import psycopg

from support.fleet import Fleet, Member, append_nothing, until
from support.processes import ROOT
from support.records import FAULTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PROCESSES: Final = 5
PAUSE: Final = 0.02
"""Seconds that each of the writer's three callers pauses between two calls, on average."""


class Followers(Fleet):
    """A writer, and twenty followers in five processes."""

    def __init__(
        self, direct: str, directory: Path, writers: list[Member], followers: list[Member]
    ) -> None:
        super().__init__(direct, writers, followers)
        self.directory = directory
        self.began = time.monotonic()

    def head(self) -> int:
        """Return where the log ends."""
        with psycopg.connect(self.direct) as connection:
            row = connection.execute("SELECT position FROM head").fetchone()
        assert row is not None
        return int(row[0])

    def finish(self, within: float | None = None) -> None:
        """Let the writers end with what they are at, and the followers have it all."""
        self._tell_writers()
        for writer in self.writers:
            writer.finish(within)
        goal = self.head()
        for follower in self.followers:
            assert follower.process.stdin is not None
            follower.process.stdin.write(b"%d\n" % goal)
            follower.process.stdin.flush()
        for follower in self.followers:
            follower.finish(within)

    def facts(self) -> list[dict[str, Any]]:
        """Return what each process's notifier said of itself in the end."""
        return [
            json.loads(" ".join(words)) for one in self.followers for words in one.lines("facts")
        ]

    def total(self, name: str) -> int:
        """Add up one of these facts over all processes."""
        return sum(int(facts.get(name, 0)) for facts in self.facts())

    def findings(self, lost: str | None = None) -> dict[str, int]:
        """Run the independent check; see that it had something to check."""
        words = [self.direct, str(self.directory), *([lost] if lost else [])]
        done = subprocess.run(
            [sys.executable, "-m", "support.records", *words],
            cwd=ROOT / "tests",
            env={**os.environ, "PYTHONPATH": str(ROOT / "tests")},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        found: dict[str, int] = json.loads(done.stdout)
        assert found["followers"] == 4 * len(self.followers)
        assert found["records"] > 1000
        return found

    def check(self) -> None:
        """See that nothing was missed, repeated, out of order, or not what the log has."""
        found = self.findings()
        assert {name: found[name] for name in FAULTS} == dict.fromkeys(FAULTS, 0), found
        assert found["diverged"] == 0

    def report(self, title: str) -> list[int]:
        """Print the figures; return how many calls the writer had acknowledged."""
        calls = [call for writer in self.writers for call in writer.calls()]
        seconds = max(call.at for call in calls) - min(call.at - call.wait for call in calls)
        known = {id_: call.at for call in calls for id_ in call.ids}
        late = sorted(self._delays(known))
        events = sum(len(call.ids) for call in calls)
        healed = sorted(self.healed)
        print(
            f"\n{title}: {seconds:.0f} s, {len(calls) / seconds:,.0f} appends/s, "
            f"{events / seconds:,.0f} events/s, {len(late):,} received by {4 * PROCESSES}; worst "
            f"append {max(call.wait for call in calls):.2f} s; followers behind p50 "
            f"{late[len(late) // 2] * 1e3:.1f} ms, p99 {late[len(late) * 99 // 100]:.2f} s, worst "
            f"{late[-1]:.2f} s; {len(healed)} faults, from healing to caught up "
            f"{[round(one, 2) for one in self.healed]} s, worst {healed[-1] if healed else 0:.2f} s"
        )
        print(f"  {self.facts()}")
        return [len(calls)]

    def _delays(self, known: dict[str, float]) -> Iterator[float]:
        for path in self.directory.glob("*.record"):
            for line in path.read_text().split("\n")[:-1]:
                word, *rest = line.split()
                if word == "event" and rest[1] in known:
                    yield float(rest[3]) - known[rest[1]]


@contextmanager
def followers(
    direct: str,
    directory: Path,
    options: Callable[[str, int], dict[str, Any]],
    url: Callable[[str, int], str] | None = None,
) -> Iterator[Followers]:
    """Run them; ``options`` and ``url`` say how each process, by kind and number, opens the log.

    Kinds are ``writer`` and ``follower``.
    """
    append_nothing(direct)
    place = url or (lambda _kind, _number: direct)
    told = {"directory": str(directory), "count": PROCESSES}
    members: list[Member] = []
    try:
        extra = {"pause": PAUSE, **options("writer", 0)}
        output = directory / "writer0"
        members.append(Member("fleet_writer", place("writer", 0), output, "w0", json.dumps(extra)))
        for number in range(PROCESSES):
            extra = {**told, "number": number, **options("follower", number)}
            words = (f"f{number}", json.dumps(extra))
            output = directory / f"follower{number}"
            members.append(Member("recording_followers", place("follower", number), output, *words))
        all_ = Followers(direct, directory, members[:1], members[1:])
        for member in members:
            until(lambda member=member: _is_ready(member))  # type: ignore[misc]
        yield all_
    finally:
        for member in members:
            member.process.kill()
            member.process.communicate()


def _is_ready(member: Member) -> bool:
    assert member.process.poll() is None, member.output.with_suffix(".err").read_text()
    return any(True for _ in member.lines("ready"))
