"""Who changed a rule, when and why: what a git work tree says about the files of a source."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from support.master import fill, logged, ttp
from support.waiting import DEADLINE

from projections.rules import RuleSync
from projections.rules.sources import git_history
from projections.rules.sources.debounce import DebounceTimes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from eventstore import EventStore

    Git = Callable[..., str]

pytestmark = pytest.mark.anyio

QUICK = DebounceTimes(whole=0.01, incomplete=0.02)


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let git take as long as it takes on a busy machine."""
    monkeypatch.setattr(git_history, "LONGEST", DEADLINE)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Give a repository whose directory ``rules`` has one commit with two rules."""
    repository = tmp_path / "repository"
    fill(repository / "rules", {"a.yml": ttp("A"), "b.yml": ttp("B")})
    git(repository, "init", "-q", "-b", "main")
    commit(repository, "Add two rules")
    return repository


def git(repository: Path, *words: str) -> str:
    who = ["-c", "user.name=Ana", "-c", "user.email=ana@example.org", "-c", "gc.auto=0"]
    done = subprocess.run(
        ["git", "-C", str(repository), *who, *words], capture_output=True, check=True
    )
    return done.stdout.decode().strip()


def commit(repository: Path, subject: str) -> dict[str, str]:
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", subject)
    return {
        "commit": git(repository, "rev-parse", "HEAD"),
        "author": "Ana <ana@example.org>",
        "subject": subject,
    }


async def looked(store: EventStore, root: Path, **settings: Any) -> dict[str, Any]:
    """Look once; return the metadata of each new event about a rule, by rule id."""
    before = (await store.head()).position
    with_defaults: dict[str, Any] = {"source": "test", "debounce": QUICK}
    await RuleSync(store, root, **with_defaults | settings).sync_once()
    events = await logged(store, "RuleDefined", "RuleRemoved")
    return {event.data["rule_id"]: event.metadata for event in events if event.position > before}


async def test_the_newest_commit_that_touched_a_file_is_recorded(
    store: EventStore, repository: Path
) -> None:
    first = await looked(store, repository / "rules")
    assert {one["git"]["subject"] for one in first.values()} == {"Add two rules"}
    fill(repository / "rules", {"a.yml": ttp("A", "second")})
    second = commit(repository, "Change A")
    fill(repository, {"README": "nothing of the rules"})
    commit(repository, "Write a text")
    assert await looked(store, repository / "rules") == {"A": {"git": second}}


async def test_a_removal_and_a_rename_name_their_commits(
    store: EventStore, repository: Path
) -> None:
    await looked(store, repository / "rules")
    git(repository, "rm", "-q", "rules/a.yml")
    removal = commit(repository, "Drop A")
    git(repository, "mv", "rules/b.yml", "rules/c.yml")
    rename = commit(repository, "Rename B")
    assert await looked(store, repository / "rules") == {
        "A": {"git": removal},
        "B": {"git": rename},
    }


async def test_what_is_not_committed_is_marked_without_an_author(
    store: EventStore, repository: Path
) -> None:
    await looked(store, repository / "rules")
    fill(repository / "rules", {"a.yml": ttp("A", "second"), "n.yml": ttp("N")})
    (repository / "rules" / "b.yml").unlink()
    marked = {"git": {"uncommitted": True}}
    assert await looked(store, repository / "rules") == dict.fromkeys("ABN", marked)


async def test_a_staged_file_is_not_committed_and_a_lost_one_never_was(
    store: EventStore, repository: Path
) -> None:
    fill(repository / "rules", {"n.yml": ttp("N")})
    git(repository, "add", "-A")
    marked = {"git": {"uncommitted": True}}
    assert (await looked(store, repository / "rules"))["N"] == marked
    git(repository, "rm", "-q", "-f", "rules/n.yml")
    assert await looked(store, repository / "rules") == {"N": marked}


async def test_who_syncs_is_recorded_beside_the_commit(store: EventStore, repository: Path) -> None:
    first = await looked(store, repository / "rules", by="ci")
    assert first["A"]["by"] == "ci"
    assert first["A"]["git"]["subject"] == "Add two rules"


@pytest.mark.parametrize("layout", ["worktree", "link", "packed", "detached", "merge", "strange"])
async def test_every_layout_of_a_repository_is_read(
    store: EventStore, repository: Path, tmp_path: Path, layout: str
) -> None:
    root, name = repository / "rules", "x.yml"
    if layout == "strange":
        name = 'ä "quoted" \\ name.yml'
    if layout == "merge":
        git(repository, "checkout", "-q", "-b", "side")
    fill(root, {name: ttp("X")})
    expected = commit(repository, "Add X")
    if layout == "worktree":
        git(repository, "worktree", "add", "-q", "--detach", str(tmp_path / "tree"))
        root = tmp_path / "tree" / "rules"
    elif layout == "link":
        root = tmp_path / "link"
        root.symlink_to(repository / "rules")
    elif layout == "packed":
        git(repository, "pack-refs", "--all")
        git(repository, "gc", "-q")
    elif layout == "detached":
        git(repository, "checkout", "-q", "--detach")
    elif layout == "merge":
        git(repository, "checkout", "-q", "main")
        git(repository, "merge", "-q", "--no-ff", "-m", "Merge", "side")
    assert (await looked(store, root))["X"] == {"git": expected}


async def test_line_ends_of_a_checkout_do_not_hide_a_commit(
    store: EventStore, repository: Path
) -> None:
    (repository / "rules" / "a.yml").write_bytes(ttp("A").replace("\n", "\r\n").encode())
    assert "commit" in (await looked(store, repository / "rules"))["A"]["git"]


async def test_the_first_commit_of_a_shallow_clone_is_not_taken_for_the_author(
    store: EventStore, repository: Path, tmp_path: Path
) -> None:
    fill(repository / "rules", {"a.yml": ttp("A", "second")})
    commit(repository, "Change A")
    clone = tmp_path / "clone"
    git(repository, "clone", "-q", "--depth", "1", f"file://{repository}", str(clone))
    assert await looked(store, clone / "rules") == {"A": {}, "B": {}}


def runs_the_trap(repository: Path, ran: Path, words: list[str]) -> bool:
    ran.unlink(missing_ok=True)
    command = ["git", "-C", str(repository), *words]
    subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return ran.exists()


@pytest.mark.promise("sources")
async def test_a_hostile_repository_runs_nothing(
    store: EventStore, repository: Path, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    program = fill(tmp_path, {"evil": f"#!/bin/sh\ntouch {ran}\ncat\n"}) / "evil"
    program.chmod(0o755)
    settings = {
        "core.fsmonitor": program,
        "core.pager": program,
        "core.sshCommand": program,
        "pager.log": program,
        "log.showSignature": "true",
        "gpg.program": program,
        "diff.external": program,
        "diff.evil.textconv": program,
        "diff.evil.command": program,
        "filter.evil.clean": program,
        "filter.evil.smudge": program,
        "core.hooksPath": tmp_path,
        "core.alternateRefsCommand": program,
        "extensions.partialClone": "origin",
        "remote.origin.promisor": "true",
        "remote.origin.url": f"ext::{program}",
        "protocol.ext.allow": "always",
    }
    fill(repository / "rules", {"a.yml": ttp("A", "second")})
    last = commit(repository, "Change A")
    lost = git(repository, "rev-parse", "HEAD~:rules/b.yml")
    for name, value in settings.items():
        git(repository, "config", name, str(value))
    fill(repository, {".gitattributes": "* filter=evil diff=evil\n"})
    for hook in ("post-index-change", "reference-transaction", "fsmonitor-watchman"):
        (repository / ".git" / "hooks" / hook).symlink_to(program)
    (repository / ".git" / "objects" / lost[:2] / lost[2:]).unlink()
    ran.unlink(missing_ok=True)
    assert (await looked(store, repository / "rules"))["A"] == {"git": last}
    assert not ran.exists()
    # The trap works: git itself, used as anybody would, runs the repository's programs.
    for words in ("status", "add --renormalize rules/a.yml"):
        assert runs_the_trap(repository, ran, words.split()), words


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("core.worktree", "..", "core.worktree is set"),
        ("extensions.refStorage", "reftable", "its references are a reftable"),
    ],
)
async def test_a_repository_of_a_kind_that_is_not_read_is_named_once(
    store: EventStore,
    repository: Path,
    caplog: pytest.LogCaptureFixture,
    name: str,
    value: str,
    reason: str,
) -> None:
    git(repository, "config", name, value)
    assert await looked(store, repository / "rules") == {"A": {}, "B": {}}
    fill(repository / "rules", {"a.yml": ttp("A", "second")})
    assert await looked(store, repository / "rules") == {"A": {}}
    assert caplog.text.count(f"{repository}/.git: {reason}, which is not supported") == 1


@pytest.mark.parametrize(
    "head", ["", "ref: refs/heads/../../secret", "ref: nowhere", "f" * 40, "\0", "ref: refs/x"]
)
async def test_a_repository_that_cannot_be_read_costs_nothing_but_the_commits(
    store: EventStore, repository: Path, head: str
) -> None:
    (repository / ".git" / "HEAD").write_text(head)
    found = await looked(store, repository / "rules")
    assert found.keys() == {"A", "B"}
    assert all("commit" not in one.get("git", {}) for one in found.values())


async def test_without_git_there_are_no_commits_and_one_warning(
    store: EventStore,
    repository: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("PATH", os.devnull)
    git_history._find_git.cache_clear()
    try:
        assert await looked(store, repository / "rules") == {"A": {}, "B": {}}
        fill(repository / "rules", {"a.yml": ttp("A", "second")})
        assert await looked(store, repository / "rules") == {"A": {}}
    finally:
        git_history._find_git.cache_clear()
    assert caplog.text.count("git is not installed") == 1


async def test_outside_of_a_work_tree_nothing_is_recorded(store: EventStore, root: Path) -> None:
    fill(root, {"a.yml": ttp("A")})
    assert await looked(store, root) == {"A": {}}
