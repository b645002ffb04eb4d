"""Processes that write to one log and follow it under faults, and what they report.

Writers send every call again until it is acknowledged, so that in the end the log holds exactly
what was acknowledged. What each process says goes to a file of its own, a line at a time.
"""

from __future__ import annotations

import subprocess
import time
from contextlib import contextmanager
from math import inf
from typing import TYPE_CHECKING, NamedTuple

import psycopg

from support.audit import audit_postgres
from support.processes import run, start

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path


class Call(NamedTuple):
    """An acknowledged call: where its commit is, what it took (seconds), and its events' ids."""

    position: int
    tries: int
    duplicate: bool
    wait: float
    at: float
    ids: tuple[str, ...]


class Member:
    """One process of a fleet."""

    def __init__(self, program: str, url: str, output: Path, *arguments: object) -> None:
        self.output = output
        with output.open("wb") as file, output.with_suffix(".err").open("wb") as errors:
            self.process: subprocess.Popen[bytes] = start(
                program, url, *arguments, stdin=subprocess.PIPE, stdout=file, stderr=errors
            )

    def lines(self, word: str) -> Iterator[list[str]]:
        """Yield the words of each whole line that begins with ``word``, without it."""
        for line in self.output.read_text().split("\n")[:-1]:
            first, *words = line.split()
            if first == word:
                yield words

    def last(self) -> int:
        """Return the position in its last whole line; 0 where there is none."""
        with self.output.open("rb") as file:
            file.seek(max(0, self.output.stat().st_size - 2000))
            lines = file.read().decode().split("\n")[:-1]
        words = lines[-1].split() if lines else []
        return int(words[1]) if len(words) > 1 else 0

    def calls(self) -> list[Call]:
        """Return what a writer had acknowledged."""
        return [
            Call(int(at), int(tries), again == "1", float(wait), float(when), tuple(ids))
            for at, tries, again, wait, when, *ids in self.lines("ack")
        ]

    def finish(self, within: float | None) -> None:
        """Wait until it has ended by itself, without an error."""
        code = self.process.wait(within)
        assert code == 0, self.output.with_suffix(".err").read_text()


class Fleet:
    """Writers and followers of one log; ``direct`` is its URL without anything in between."""

    def __init__(self, direct: str, writers: Sequence[Member], followers: Sequence[Member]) -> None:
        self.direct = direct
        self.writers = writers
        self.followers = followers
        self.healed: list[float] = []

    def start(self) -> None:
        """Let the writers begin, once all are ready."""
        for member in (*self.writers, *self.followers):
            until(lambda member=member: list(member.lines("ready")))  # type: ignore[misc]
        self._tell_writers()

    def advance(self, events: int) -> None:
        """Return once the writers have appended so many more events."""
        goal = max(writer.last() for writer in self.writers) + events
        until(lambda: max(writer.last() for writer in self.writers) >= goal)

    def _tell_writers(self) -> None:
        for writer in self.writers:
            assert writer.process.stdin is not None
            writer.process.stdin.write(b"go on\n")
            writer.process.stdin.flush()

    def catch_up(self, within: float = inf) -> float:
        """Return how long, from now on, it takes until something new is seen by everybody."""
        begin = time.monotonic()
        acknowledged = [writer.last() for writer in self.writers]

        def written() -> bool:
            now = (writer.last() for writer in self.writers)
            return any(a > b for a, b in zip(now, acknowledged, strict=True))

        until(written, within)
        goal = max(writer.last() for writer in self.writers)
        until(lambda: all(follower.last() >= goal for follower in self.followers), within)
        self.healed.append(time.monotonic() - begin)
        return self.healed[-1]

    def finish(self, within: float | None = None) -> None:
        """Let the writers end with what they are at, and the followers have it all."""
        self._tell_writers()
        for writer in self.writers:
            writer.finish(within)
        append_end(self.direct)
        for follower in self.followers:
            follower.finish(within)

    def check(self) -> None:
        """See that the log holds what was acknowledged, once, and that followers got it all."""
        events = audit_postgres(self.direct)
        with psycopg.connect(self.direct) as connection:
            rows = connection.execute("SELECT commit_position, id FROM event ORDER BY position")
            stored = [(commit, bytes(raw)[1:].decode()) for commit, raw in rows][:-1]
        commits: dict[int, list[str]] = {}
        for commit, id_ in stored:
            commits.setdefault(commit, []).append(id_)
        calls = [call for writer in self.writers for call in writer.calls()]
        for call in calls:
            assert sorted(commits.pop(call.position)) == sorted(call.ids)
        assert not commits
        expected = [(index, id_) for index, (_, id_) in enumerate(stored, 1)]
        for follower in self.followers:
            got = [(int(position), id_) for position, _, id_ in follower.lines("got")]
            assert got[:-1] == expected
            assert got[-1][0] == events

    def report(self, title: str) -> list[int]:
        """Print the figures; return how many calls each writer had acknowledged."""
        calls = [call for writer in self.writers for call in writer.calls()]
        seconds = max(call.at for call in calls) - min(call.at - call.wait for call in calls)
        shares = [len(writer.calls()) for writer in self.writers]
        worst = [max(call.wait for call in writer.calls()) for writer in self.writers]
        known = {id_: call.at for call in calls for id_ in call.ids}
        late = [
            float(at) - known[id_]
            for follower in self.followers
            for _, at, id_ in follower.lines("got")
            if id_ in known
        ]
        late.sort()
        events = sum(len(call.ids) for call in calls)
        again = sum(call.tries > 1 for call in calls)
        print(
            f"{title}: {len(calls) / seconds:,.0f} appends/s, {events / seconds:,.0f} events/s, "
            f"{events:,} events in {seconds:.0f} s; shares {shares}; worst wait of each "
            f"{[round(one, 2) for one in worst]} s; sent again {again}, found stored "
            f"{sum(call.duplicate for call in calls)}; followers behind p50 "
            f"{late[len(late) // 2] * 1e3:.1f} ms, worst {late[-1]:.2f} s; from healing to caught "
            f"up {[round(one, 2) for one in self.healed]} s"
        )
        return shares


@contextmanager
def fleet(
    direct: str,
    directory: Path,
    *,
    writers: int,
    followers: int,
    url: Callable[[str, int], str] | None = None,
) -> Iterator[Fleet]:
    """Run a fleet; ``url`` may name the log otherwise for each process."""
    append_nothing(direct)
    members: dict[str, list[Member]] = {"writer": [], "follower": []}
    try:
        for kind, count, program in (
            ("writer", writers, "fleet_writer"),
            ("follower", followers, "fleet_follower"),
        ):
            for number in range(count):
                place = url(kind, number) if url else direct
                output = directory / f"{kind}{number}"
                members[kind].append(Member(program, place, output, f"w{number}"))
        yield Fleet(direct, members["writer"], members["follower"])
    finally:
        for member in (*members["writer"], *members["follower"]):
            member.process.kill()
            member.process.communicate()


def until(condition: Callable[[], object], within: float = inf) -> None:
    """Return once the condition holds; fail after so many seconds, where a limit is given."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)  # files of other processes have no event to wait for


def append_end(url: str) -> None:
    """Append the event that followers end at."""
    assert run("log_maker", url, "end").returncode == 0


def append_nothing(url: str) -> None:
    """Make the log."""
    assert run("log_maker", url).returncode == 0
