"""An atomic directory: whole generations behind a link, beside strangers."""

from __future__ import annotations

import errno
import os
import random
import shutil
import stat
from typing import TYPE_CHECKING

import anyio
import pytest
from support.atomic_directory import Time, atomic, generations, held, refuse
from support.journalled import journal_small_ones
from support.rule_log import LOG_ID, Change, RuleLog, expected_files, files_below, random_commits

from eventstore.errors import ConfigError, StorageError
from projections import DirectoryProjection
from projections.directory import (
    ForeignDirectoryError,
    _atomic_link,
    _forms,
    read_tree,
)
from projections.directory._atomic_link import AtomicLink
from projections.directory._safe_tree import SafeTree
from projections.protocol import ProjectionBusyError
from projections.rules import RuleReplica

if TYPE_CHECKING:
    from pathlib import Path


def test_a_change_is_a_generation_that_shares_the_other_files(
    log: RuleLog, filled: DirectoryProjection, root: Path
) -> None:
    before = root.resolve()
    log.commit_into(filled, Change("R1", "a.yml", b"3"))
    after = root.resolve()
    assert before != after
    assert (before / "d/b.yml").samefile(after / "d/b.yml")
    assert (files_below(before), files_below(after)) == (
        {"a.yml": b"1", "d/b.yml": b"2"},
        {"a.yml": b"3", "d/b.yml": b"2"},
    )
    assert not stat.S_IMODE((root / "a.yml").stat().st_mode) & 0o222
    assert read_tree(root) == (log.cursor(), expected_files(log.commits))


def test_a_commit_without_a_change_of_files_moves_the_position_alone(
    log: RuleLog, filled: DirectoryProjection, root: Path
) -> None:
    before = root.resolve()
    log.commit_into(filled, Change("R1", "a.yml", b"1"))
    assert (root.resolve(), filled.position) == (before, 3)
    assert read_tree(root) == (log.cursor(), expected_files(log.commits))


def test_who_holds_a_generation_open_sees_it_whole(
    log: RuleLog, filled: DirectoryProjection, root: Path
) -> None:
    descriptor = os.open(root, os.O_RDONLY)
    try:
        for number in range(5):
            log.commit_into(filled, Change("R1", f"a{number}.yml", b"x"), Change("R2"))
        assert held(descriptor) == {"a.yml": b"1", "d/b.yml": b"2"}
    finally:
        os.close(descriptor)


def test_an_earlier_generation_goes_after_its_grace_or_becomes_the_next(
    log: RuleLog, filled: DirectoryProjection, root: Path, clock: Time
) -> None:
    for number in range(4):
        log.commit_into(filled, Change("R1", "a.yml", b"%d" % number))
    many = len(generations(root))
    inode = {(AtomicLink(root).home / one).stat().st_ino for one in generations(root)}
    clock.seconds += 10
    log.commit_into(filled, Change("R1", "a.yml", b"new"), Change("R3", "e.yml", b"3"))
    assert root.stat().st_ino in inode
    assert many > len(generations(root)) == 3
    assert read_tree(root) == (log.cursor(), expected_files(log.commits))
    clock.seconds += 10
    filled.close()
    assert generations(root) == [root.resolve().name]


@pytest.mark.parametrize("theirs", ["write_text", "symlink_to"])
def test_an_earlier_generation_whose_file_was_replaced_does_not_become_the_next(
    theirs: str,
    log: RuleLog,
    filled: DirectoryProjection,
    root: Path,
    clock: Time,
) -> None:
    log.commit_into(filled, Change("R1", "a.yml", b"new"))
    earlier = AtomicLink(root).home / generations(root)[-2]
    (earlier / "d/b.yml").unlink()
    getattr(earlier / "d/b.yml", theirs)("theirs")
    clock.seconds += 10
    log.commit_into(filled, Change("R1", "a.yml", b"newer"))
    assert read_tree(root, attempts=1) == (log.cursor(), expected_files(log.commits))


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "no hard links"])
def test_any_commits_and_restarts_end_in_what_the_model_says(
    links: bool, root: Path, clock: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal_small_ones(monkeypatch)
    if not links:
        monkeypatch.setattr(os, "link", refuse(errno.EPERM))
    for seed in range(2):
        dice, log = random.Random(seed), RuleLog(random_commits(seed, 25))
        place = root.with_name(f"live {seed} \u202e\n\udcff")
        live = atomic(place)
        live.open(LOG_ID)
        while live.position < len(log.events):
            log.feed(live, [1], rest=False)
            clock.seconds += dice.choice([0, 1, 4, 12])
            found = read_tree(place, attempts=1)
            done = [sum(map(len, log.commits[:n])) for n in range(len(log.commits) + 1)]
            count = done.index(found[0].position)
            assert found == (log.cursor(done[count]), expected_files(log.commits[:count]))
            assert files_below(place) == found[1]
            assert (live.damaged(), live.strangers()) == ([], [])
            if dice.random() < 0.2:
                live.close()
                live.open(LOG_ID)
        live.close()


def test_a_link_that_was_replaced_is_a_typed_error_and_nothing_of_it_is_touched(
    log: RuleLog, filled: DirectoryProjection, root: Path
) -> None:
    root.unlink()
    root.mkdir()
    (root / "mine.txt").write_text("a stranger's")
    log.commit(Change("R1", "a.yml", b"3"))
    for call in (lambda: log.feed(filled), filled.damaged):
        with pytest.raises(StorageError, match="removed or replaced"):
            call()
    filled.close()
    with pytest.raises(ForeignDirectoryError, match=r"mine\.txt"):
        filled.open(LOG_ID)
    assert files_below(root) == {"mine.txt": b"a stranger's"}
    shutil.rmtree(root)
    filled.open(LOG_ID)
    assert filled.outdated
    log.feed(filled)
    assert read_tree(root) == (log.cursor(), expected_files(log.commits))


def test_a_directory_that_is_moved_with_its_generations_goes_on_and_one_renamed_does_not(
    log: RuleLog, filled: DirectoryProjection, root: Path, tmp_path: Path
) -> None:
    filled.close()
    (tmp_path / "moved").mkdir()
    for path in (root, AtomicLink(root).home):
        path.rename(tmp_path / "moved" / path.name)
    moved = tmp_path / "moved" / "live"
    again = DirectoryProjection(moved, fsync=False)
    assert again.open(LOG_ID) == log.cursor()
    log.commit_into(again, Change("R1", "a.yml", b"3"))
    again.close()
    assert read_tree(moved) == (log.cursor(), expected_files(log.commits))
    moved.rename(moved.with_name("other"))
    with pytest.raises(StorageError, match="leads to a generation"):
        DirectoryProjection(moved.with_name("other")).open(LOG_ID)
    with pytest.raises(ForeignDirectoryError, match="is a link"):
        atomic(moved.with_name("other")).open(LOG_ID)


def test_a_file_that_a_stranger_edits_is_mended_in_the_generation_that_is_shown(
    log: RuleLog, filled: DirectoryProjection, root: Path, clock: Time
) -> None:
    log.commit_into(filled, Change("R1", "a.yml", b"3"))
    (root / "d/b.yml").chmod(0o644)
    (root / "d/b.yml").write_bytes(b"edited")
    assert filled.damaged() == [2]
    filled.mend(log.events[1:2])
    clock.seconds += 10
    log.commit_into(filled, Change("R1", "a.yml", b"4"))
    assert filled.damaged() == []
    assert files_below(root) == expected_files(log.commits)


def test_a_stranger_s_file_stays_in_its_generation_and_is_in_no_other(
    log: RuleLog, filled: DirectoryProjection, root: Path, clock: Time
) -> None:
    (root / "d/keep.txt").write_text("a stranger's")
    kept = root.resolve()
    for number in range(4):
        log.commit_into(filled, Change("R1", "a.yml", b"n%d" % number))
        clock.seconds += 6
        assert files_below(root) == expected_files(log.commits)
    filled.close()
    clock.seconds += 10
    filled.open(LOG_ID)
    filled.close()
    assert files_below(kept) == {"d/keep.txt": b"a stranger's"}


@pytest.mark.parametrize("which", ["shown", "earlier"])
def test_a_generation_that_a_stranger_removes_comes_back_or_is_not_used(
    which: str, log: RuleLog, filled: DirectoryProjection, root: Path, clock: Time
) -> None:
    log.commit_into(filled, Change("R1", "a.yml", b"3"))
    shown = root.resolve()
    for one in AtomicLink(root).home.iterdir():
        if one.is_dir() and (one == shown) == (which == "shown"):
            shutil.rmtree(one)
    clock.seconds += 10
    log.commit(Change("R1", "a.yml", b"4"))
    if which == "shown":
        with pytest.raises(StorageError, match="removed or replaced"):
            log.feed(filled)
        filled.close()
        filled.open(LOG_ID)
    log.feed(filled)
    assert read_tree(root) == (log.cursor(), expected_files(log.commits))
    assert filled.strangers() == []


def test_a_second_publisher_is_refused_in_either_form(
    filled: DirectoryProjection, root: Path
) -> None:
    before = read_tree(root)
    for form in (True, None, False):
        with pytest.raises(ProjectionBusyError):
            atomic(root, atomic=form).open(LOG_ID)
    tree = SafeTree(root.resolve())  # As a program does that knows plain directories only.
    with pytest.raises(BlockingIOError):
        tree.lock()
    tree.close()
    assert read_tree(root) == before


def test_a_plain_directory_becomes_atomic_and_plain_again(log: RuleLog, root: Path) -> None:
    plain = DirectoryProjection(root, fsync=False)
    plain.open(LOG_ID)
    log.commit_into(plain, Change("R1", "a.yml", b"1"), Change("R2", "d/b.yml", b"2"))
    with pytest.raises(ProjectionBusyError):
        atomic(root).open(LOG_ID)
    plain.close()
    live = atomic(root)
    assert live.open(LOG_ID) == log.cursor()
    assert root.is_symlink()
    log.commit_into(live, Change("R1", "a.yml", b"3"))
    live.close()
    plain = atomic(root, atomic=False)
    assert plain.open(LOG_ID) == log.cursor()
    log.commit_into(plain, Change("R2", "d/b.yml", b"4"))
    plain.close()
    assert [one.name for one in root.parent.iterdir()] == ["live"]
    assert not root.is_symlink()
    assert read_tree(root) == (log.cursor(), expected_files(log.commits))


def test_what_cannot_become_atomic_is_refused_and_stays(
    log: RuleLog, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = DirectoryProjection(root, fsync=False)
    plain.open(LOG_ID)
    log.commit_into(plain, Change("R1", "a.yml", b"1"))
    plain.close()
    (root / "keep.txt").write_text("a stranger's")
    with pytest.raises(ForeignDirectoryError, match=r"holds 'keep\.txt'"):
        atomic(root).open(LOG_ID)
    (root / "keep.txt").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(_atomic_link, "call", refuse(errno.EINVAL))
        with pytest.raises(ConfigError, match=r"move .*live away"):
            atomic(root).open(LOG_ID)
    assert not root.is_symlink()
    assert read_tree(root) == (log.cursor(), expected_files(log.commits))
    (tmp_path / "link").symlink_to("live")
    with pytest.raises(ForeignDirectoryError, match="is a link to 'live'"):
        atomic(tmp_path / "link").open(LOG_ID)
    with monkeypatch.context() as patch:
        patch.setattr(os, "symlink", refuse(errno.EPERM))
        with pytest.raises(StorageError, match="no symbolic links: project without atomic"):
            atomic(tmp_path / "new").open(LOG_ID)
    with pytest.raises(ConfigError, match="private_names"):
        _forms.Form(root, "x", atomic=True, fsync=True, names={"a": "b"}, grace_seconds=1)


def test_what_was_redacted_is_in_no_generation(
    log: RuleLog, filled: DirectoryProjection, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.commit_into(filled, Change("R1", "a.yml", b"3"))
    monkeypatch.setattr("projections.directory.projection.read_redaction", lambda _: object())
    monkeypatch.setattr("projections.directory.file_changes.read_redaction", lambda _: None)
    log.commit_into(filled, Change("R1", redacted=True))
    assert generations(root) == [root.resolve().name]
    assert files_below(root) == {"d/b.yml": b"2"}


@pytest.mark.anyio
async def test_a_reader_of_rules_follows_the_switches(
    log: RuleLog, filled: DirectoryProjection, root: Path
) -> None:
    rules = RuleReplica(root, poll=3600)
    assert [rule.rule_id for rule in await rules.load_compiled()] == ["R1", "R2"]
    commits = rules.subscribe_commits()
    for number in range(5):
        log.commit(Change("R1", "a.yml", b"n%d" % number))
        await anyio.to_thread.run_sync(log.feed, filled)
        assert [change.rule_id for change in await anext(commits)] == ["R1"]
