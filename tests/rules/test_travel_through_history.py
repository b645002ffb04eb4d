"""Time travel through years of other people's real edits, compared with git and with the oracle."""

from __future__ import annotations

import base64
import json
import os
import random
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from eventstore import EventStore
from projections import DirectoryProjection, ProjectionRunner
from projections.rules import RuleStore
from projections.rules.blame import blame_rule
from projections.rules.differences import compare_rules
from projections.rules.rules_at import read_rules_at
from rules.test_sigma_replay import commits_of, digest, replay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


PAIRS = 50
MOMENTS = 100

pytestmark = [
    pytest.mark.anyio, pytest.mark.soak, pytest.mark.parametrize("anyio_backend", ["asyncio"]),
]  # fmt: skip


@pytest.fixture
async def store() -> AsyncIterator[EventStore]:
    async with EventStore.open("memory://") as store:
        yield store


class Git:
    """The history as a repository of git, imported commit by commit."""

    def __init__(self, root: Path, history: Path) -> None:
        self._root = root
        self("init", "-q", ".")
        stream = b"".join(self._commits(history))
        self("fast-import", "--quiet", said=stream)
        self.commits = self("rev-list", "--reverse", "main").split()

    def __call__(self, *words: str, said: bytes | None = None) -> str:
        quiet = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
        command = ["git", "-c", "core.quotePath=false", "-C", str(self._root), *words]
        done = subprocess.run(
            command, input=said, capture_output=True, check=True, env={**os.environ, **quiet}
        )
        return done.stdout.decode(errors="backslashreplace")

    def _commits(self, history: Path) -> Any:
        for commit in commits_of(history):
            yield f"commit refs/heads/main\ncommitter a <a@b> {commit['time']} +0000\n".encode()
            yield b"data 1\nx\n"
            for change in commit["changes"]:
                path = json.dumps(change["path"], ensure_ascii=False)
                if change["op"] == "delete":
                    yield f"D {path}\n".encode()
                    continue
                content = (
                    change["content"].encode()
                    if "content" in change
                    else base64.b64decode(change["base64"])
                )
                yield f"M 100644 inline {path}\ndata {len(content)}\n".encode() + content + b"\n"
            yield b"\n"

    def changes(self, before: int, after: int) -> dict[str, str]:
        """Return what git says of each path between two commits: A, D or M."""
        found = self("diff", "--no-renames", "--name-status", "-z", *self._pair(before, after))
        words = found.split("\0")[:-1]
        return dict(zip(words[1::2], words[::2], strict=True))

    def _pair(self, before: int, after: int) -> tuple[str, str]:
        return self.commits[before], self.commits[after]

    def apply(self, before: int, after: int, diff: list[str]) -> bool:
        """Return whether a diff, applied to one commit, makes the tree of another."""
        self("read-tree", self.commits[before])
        if diff:
            self("apply", "--cached", "--whitespace=nowarn", said="\n".join([*diff, ""]).encode())
        return self("write-tree") == self("rev-parse", f"{self.commits[after]}^{{tree}}")

    def blame(self, commit: int, path: str) -> list[int]:
        """Return the commits of the lines of a file, as their numbers."""
        shown = self("blame", "--porcelain", "-s", self.commits[commit], "--", path)
        heads = [line.split(" ") for line in shown.split("\n")]
        found = [head[0] for head in heads if len(head) in {3, 4} and len(head[0]) == 40]
        numbers = {name: number for number, name in enumerate(self.commits)}
        return [numbers[name] for name in found]


@pytest.fixture
def git(history: Path, tmp_path: Path) -> Git:
    """Return a repository with the commits of the history."""
    (tmp_path / "git").mkdir()
    return Git(tmp_path / "git", history)


async def test_rules_and_differences_are_those_of_git(
    store: EventStore, git: Git, history: Path, root: Path
) -> None:
    steps = await replay(store, history, root, "raw")
    assert len(git.commits) == len(steps)
    chance = random.Random(20)
    for _ in range(PAIRS):
        before, after = sorted(chance.sample(range(len(steps)), 2))
        old, new = [await read_rules_at(store, steps[one].position) for one in (before, after)]
        for at, one in ((old, before), (new, after)):
            files = {path: content for (_, path), content in at.contents().items()}
            assert (len(files), digest(files)) == (steps[one].tree_files, steps[one].tree_sha256)
        found = compare_rules(old, new)
        letters = {"added": "A", "removed": "D", "changed": "M"}
        assert {one.rule_id: letters[one.kind] for one in found} == git.changes(before, after)
        texts = [one for one in found if _is_text(one.content_before, one.content_after)]
        if len(texts) == len(found):
            assert git.apply(before, after, [line for one in texts for line in _of_git(one.diff())])


def _is_text(*contents: bytes | None) -> bool:
    try:
        return all("\r" not in one.decode() for one in contents if one is not None)
    except UnicodeDecodeError:
        return False


def _of_git(lines: list[str]) -> list[str]:
    """Give the head that git wants where a file is made or removed."""
    if lines and lines[0].endswith("/dev/null"):
        path = lines[1][len("+++ b/") :]
        return [f"diff --git a/{path} b/{path}", "new file mode 100644", *lines]
    if lines and lines[1].endswith("/dev/null"):
        path = lines[0][len("--- a/") :]
        return [f"diff --git a/{path} b/{path}", "deleted file mode 100644", *lines]
    return lines


async def test_blame_names_the_commits_that_git_names(
    store: EventStore, git: Git, history: Path, root: Path
) -> None:
    steps = await replay(store, history, root, "raw")
    number_of = {step.position: number for number, step in reversed(list(enumerate(steps)))}
    chance, same, lines = random.Random(20), 0, 0
    for _ in range(PAIRS):
        at = chance.randrange(len(steps))
        rules = await read_rules_at(store, steps[at].position)
        path = chance.choice(sorted(rules.definitions()))
        mine = [await _commit_of(store, line.position) for line in await blame_rule(
            store, path, steps[at].position)]  # fmt: skip
        theirs = git.blame(at, path)
        assert len(mine) == len(theirs)
        first = _made(git, path, at)
        for position, commit in zip(mine, theirs, strict=True):
            # Git follows a file through a renaming; a raw file under a new path is a new rule.
            same += number_of[position] == max(commit, first)
            lines += 1
    print(f"{same} of {lines} lines are blamed on the commit that git names")
    assert same / lines > 0.97


async def _commit_of(store: EventStore, position: int) -> int:
    (event,) = [event async for event in store.read(after=position - 1, until=position)]
    return event.commit


def _made(git: Git, path: str, at: int) -> int:
    """Return the number of the last commit up to ``at`` that made a file under this path."""
    shown = git("log", "--format=%H", "--no-renames", "--diff-filter=A", "-n1", git.commits[at],
                "--", path)  # fmt: skip
    return git.commits.index(shown.strip())


@pytest.mark.timeout(3600)
async def test_a_revert_to_any_moment_gives_the_tree_of_that_moment(
    store: EventStore, history: Path, root: Path, tmp_path: Path
) -> None:
    steps = await replay(store, history, root, "raw")
    live = tmp_path / "live"
    runner = ProjectionRunner(store, DirectoryProjection(live, fsync=False))
    rules, chance = RuleStore(store), random.Random(20)
    for step in chance.sample(steps, MOMENTS):
        head = await store.head()
        await rules.revert("sigma", step.position, by="ana", reason="it is a test")
        grown = [event async for event in store.read(after=head.cursor)]  # Of the same history.
        assert len({event.commit for event in grown}) <= 1
        await runner.catch_up()
        assert _tree(live) == (step.tree_files, step.tree_sha256)


def _tree(live: Path) -> tuple[int, str]:
    files = {
        str(path.relative_to(live)): path.read_bytes()
        for path in live.rglob("*")
        if path.is_file() and not path.name.startswith(".eventstore")
    }
    return len(files), digest(files)
