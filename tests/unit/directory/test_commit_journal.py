"""A commit is published as a line of the journal, and the journal ends as what it continues."""

from __future__ import annotations

import errno
import os
import resource
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

import anyio
import pytest
from support.journalled import copied_at_each_step, journal_small_ones, lines_in
from support.rule_events import definition_data
from support.rule_log import LOG_ID, Change, RuleLog, expected_files, files_below
from support.waiting import until

from eventstore import EventStore, NewEvent
from eventstore.errors import StorageError
from projections import DirectoryProjection, ProjectionRunner, _view_run
from projections.directory import _publisher, commit_journal
from projections.directory.commit_journal import JOURNAL
from projections.directory.content import Line
from projections.directory.manifest import INTENT, MANIFEST, decode, read_tree
from projections.directory.path_claims import Entry
from projections.rules.replica_file import REPLICA_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FIRST = [Change("R1", "a.yml", b"1"), Change("R2", "d/b.yml", b"2")]


@pytest.fixture(autouse=True)
def _journalled(monkeypatch: pytest.MonkeyPatch) -> None:
    journal_small_ones(monkeypatch)


@pytest.fixture
def filled(log: RuleLog, live: DirectoryProjection) -> DirectoryProjection:
    """Publish two files whole, and an edit as a line."""
    log.commit_into(live, *FIRST, Change("R3"))
    log.commit_into(live, Change("R3"))  # A removal is published whole.
    live.compact()
    log.commit_into(live, Change("R1", "a.yml", b"3"))
    return live


def whole(root: Path) -> int:
    """Return the position of the manifest alone."""
    return decode((root / MANIFEST).read_bytes(), "test").position


def test_an_edit_and_a_new_file_are_lines_until_the_manifest_is_whole(
    log: RuleLog, filled: DirectoryProjection, root: Path
) -> None:
    before = whole(root)
    log.commit_into(filled, Change("R4", "new.yml", b"4"))
    assert (lines_in(root), whole(root), filled.position) == (2, before, log.cursor().position)
    assert read_tree(root) == (log.cursor(), expected_files(log.commits))
    assert b"new.yml" in (root / INTENT).read_bytes()
    filled.close()
    assert (lines_in(root), whole(root)) == (-1, log.cursor().position)
    assert not (root / INTENT).exists()


@pytest.mark.parametrize(
    "change",
    [
        Change("R2"),
        Change("R2", "moved.yml", b"2"),
        Change("R5", "../up", b"5"),
        Change("R6", "a.yml"),
    ],
    ids=["gone", "moved", "rejected", "waiting"],
)
def test_what_a_line_cannot_say_is_published_whole(
    change: Change, log: RuleLog, filled: DirectoryProjection, root: Path
) -> None:
    log.commit_into(filled, change)
    assert (lines_in(root), whole(root)) == (-1, log.cursor().position)
    assert files_below(root) == expected_files(log.commits)


def test_a_redaction_leaves_nothing_in_the_files_that_a_journal_continues(
    log: RuleLog, filled: DirectoryProjection, root: Path
) -> None:
    log.commit_into(filled, Change("R1", redacted=True))
    own = [path.read_bytes() for path in root.glob(".eventstore*")]
    assert lines_in(root) == -1 or b"R1" not in b"".join(own)


@pytest.mark.parametrize("bound", ["JOURNAL_BYTES", "WHOLE_SECONDS", "LINE_FILES"])
def test_a_journal_ends_at_its_bounds(
    bound: str,
    log: RuleLog,
    filled: DirectoryProjection,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_publisher, bound, 0)
    if bound == "WHOLE_SECONDS":
        filled.compact()
        log.commit_into(filled, Change("R1", "a.yml", b"4"))
    log.commit_into(filled, Change("R1", "a.yml", b"5"))
    assert (lines_in(root), whole(root)) == (-1, log.cursor().position)


def test_a_file_that_only_the_journal_has_is_in_the_manifest_before_it_changes(
    log: RuleLog, filled: DirectoryProjection, root: Path
) -> None:
    log.commit_into(filled, Change("R4", "new.yml", b"4"))
    created = log.cursor().position
    log.commit_into(filled, Change("R4", "new.yml", b"5"))
    assert (whole(root), lines_in(root)) == (created, 1)
    assert read_tree(root) == (log.cursor(), expected_files(log.commits))


def test_every_cut_and_every_changed_byte_leaves_the_lines_before_it() -> None:
    digest = "0" * 64
    raw = commit_journal.first_line(b"manifest", "companion")
    ends = [len(raw)]
    for position in (1, 2, 3):
        entry = Entry("key", position, digest, 1)
        raw += commit_journal.next_line(raw, Line(position, "ff", {"a": entry}))
        ends.append(len(raw))
    for at in range(len(raw)):
        expected = sum(end <= at for end in ends) - 1
        for damaged in (raw[:at], raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]):
            journal = commit_journal.decode(damaged)
            assert (-1 if journal is None else len(journal.lines)) == expected
    whole = commit_journal.decode(raw)
    assert whole is not None
    assert [line.position for line in whole.lines] == [1, 2, 3]
    assert whole.lines_after(manifest=b"manifest") == whole.lines
    assert whole.lines_after(manifest=b"another") == []


def test_lines_that_make_no_sense_end_a_journal_though_their_checksums_are_right() -> None:
    entry = Entry("key", 1, "0" * 64, 1)
    bad = [Line(2, "no hex", {}), Line(2, "", {"../up": entry}), Line(1, "", {}), Line(0, "", {})]
    for line in bad:
        raw = commit_journal.first_line(b"", "")
        raw += commit_journal.next_line(raw, Line(1, "", {"a": entry}))
        raw += commit_journal.next_line(raw, line)
        journal = commit_journal.decode(raw)
        assert journal is not None
        assert [one.position for one in journal.lines] == [1]


@pytest.mark.promise("projection")
def test_what_a_kill_leaves_at_any_step_ends_where_the_model_says(
    log: RuleLog, filled: DirectoryProjection, root: Path, tmp_path: Path
) -> None:
    (root / "keep.txt").write_text("a stranger's")
    filled.close()
    quick = DirectoryProjection(root, fsync=False)
    quick.open(LOG_ID)
    with copied_at_each_step(root, tmp_path / "copies"):
        log.commit_into(quick, Change("R2", "d/b.yml", b"4"))
        log.commit_into(quick, Change("R4", "e/new.yml", b"4"), Change("R1", "a.yml", b"4"))
        log.commit_into(quick, Change("R4", "e/new.yml", b"5"))
        log.commit_into(quick, Change("R2"), Change("R5", "d", b"6"))
        log.commit_into(quick, Change("R5", "d", b"7"))
        quick.close()
    copies = sorted((tmp_path / "copies").iterdir(), key=lambda path: int(path.name))
    assert {lines_in(copy) for copy in copies} >= {-1, 1, 2}
    for copy in copies:
        check_ends(copy, log)


def check_ends(root: Path, log: RuleLog, *, torn: bool = True) -> None:
    """Continue a copy, and one whose journal is torn in its last line."""
    if torn and lines_in(root) > 0:
        other = root.with_name(f"{root.name}-torn")
        shutil.copytree(root, other)
        with (other / JOURNAL).open("r+b") as file:
            file.truncate(file.seek(-3, os.SEEK_END))
        check_ends(other, log, torn=False)
    live = DirectoryProjection(root, fsync=False)
    live.open(LOG_ID)
    if live.outdated:  # The companion was ahead of the manifest.
        live.begin_rebuild()
        live.apply(log.events, log.cursor())
        live.finish_rebuild()
    log.feed(live)
    positions = live.damaged()
    live.mend([log.events[position - 1] for position in positions])
    assert positions == []
    assert live.strangers() == ["keep.txt"]
    assert live.set_aside == ()
    live.close()
    assert read_tree(root) == (log.cursor(), expected_files(log.commits))


@pytest.mark.parametrize("how", ["edited", "cut", "linked", "removed", "replaced", "directory"])
def test_a_journal_that_another_program_has_changed_is_written_whole(
    how: str, log: RuleLog, filled: DirectoryProjection, root: Path, tmp_path: Path
) -> None:
    path = root / JOURNAL
    raw = path.read_bytes()
    match how:
        case "edited":
            path.write_bytes(raw[:-9] + b"x" + raw[-8:])
        case "cut":
            path.write_bytes(raw[:-9])
        case "linked":
            os.link(path, tmp_path / "backup")
        case _:
            path.unlink()
    if how == "replaced":
        path.symlink_to("/etc/passwd")
    elif how == "directory":
        (path / "below").mkdir(parents=True)
    log.commit_into(filled, Change("R1", "a.yml", b"4"))
    if how == "edited":  # Of the same size: found with the next look for damage.
        assert filled.damaged() == []
        assert lines_in(root) == 2
    else:
        assert whole(root) == log.cursor().position
    log.commit_into(filled, Change("R1", "a.yml", b"5"))
    assert read_tree(root) == (log.cursor(), expected_files(log.commits))
    if how == "linked":
        assert (tmp_path / "backup").read_bytes() == raw


def test_a_journal_of_another_generation_is_none(
    log: RuleLog, filled: DirectoryProjection, root: Path
) -> None:
    old = (root / JOURNAL).read_bytes()
    log.commit_into(filled, Change("R2"))
    (root / JOURNAL).write_bytes(old)
    assert read_tree(root) == (log.cursor(), expected_files(log.commits))
    filled.close()
    filled.open(LOG_ID)
    assert filled.position == log.cursor().position


@contextmanager
def most_bytes(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond a size: a write is cut there, then refused."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_line_that_the_disk_takes_half_of_is_repeated_whole(
    log: RuleLog, filled: DirectoryProjection, root: Path
) -> None:
    before = log.cursor()
    size = (root / JOURNAL).stat().st_size
    log.commit(Change("R1", "a.yml", b"4"))
    with most_bytes(size + 20), pytest.raises(StorageError, match=os.strerror(errno.EFBIG)):
        log.feed(filled)
    assert filled.position == before.position
    assert (root / JOURNAL).stat().st_size == size + 20
    assert lines_in(root) == 1
    log.feed(filled)
    assert (lines_in(root), whole(root)) == (-1, log.cursor().position)
    assert read_tree(root) == (log.cursor(), expected_files(log.commits))


def test_closing_after_a_failure_leaves_new_files_announced(
    log: RuleLog, filled: DirectoryProjection, root: Path
) -> None:
    size = (root / JOURNAL).stat().st_size
    log.commit(Change("R4", "new.yml", b"4"))
    with most_bytes(size + 20), pytest.raises(StorageError):
        log.feed(filled)
    assert (root / "new.yml").exists()
    filled.close()
    log.commit(Change("R4", "new.yml", b"5"))
    filled.open(LOG_ID)
    log.feed(filled)
    assert filled.set_aside == ()
    assert read_tree(root) == (log.cursor(), expected_files(log.commits))


@pytest.mark.anyio
async def test_a_runner_writes_whole_what_its_projection_has_in_a_journal(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_view_run, "COMPACT_SECONDS", 0.05)
    async with EventStore.open("memory://") as store, anyio.create_task_group() as tasks:
        keeper = ProjectionRunner(store, DirectoryProjection(root, fsync=False))
        tasks.start_soon(keeper.run)
        for number in (1, 2, 3):
            data = definition_data("R1", "a", b"%d" % number)
            await store.append("rule/R1", [NewEvent("RuleDefined", data)])
            await until(lambda: (root / MANIFEST).exists() and whole(root) == number)  # noqa: B023
            assert b'"position":%d' % number in (root / REPLICA_NAME).read_bytes()
        tasks.cancel_scope.cancel()
