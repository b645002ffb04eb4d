"""What others do to a projected directory: found, mended, reported, or left alone."""

import errno
import os
import shutil
from pathlib import Path

import pytest
from support.rule_log import LOG_ID, Change, RuleLog, files_below

from eventstore.errors import ProjectionError, StorageError
from projections import DirectoryProjection
from projections.directory._safe_tree import SafeTree
from projections.directory.manifest import MANIFEST, UnsettledTreeError, read_tree


@pytest.fixture
def filled(log: RuleLog, live: DirectoryProjection) -> DirectoryProjection:
    log.commit_into(live, Change("R1", "a.yml", b"1"), Change("R2", "d/b.yml", b"2"))
    return live


def heal(log: RuleLog, live: DirectoryProjection) -> list[int]:
    positions = list(live.damaged())
    live.mend([log.events[position - 1] for position in positions])
    assert list(live.damaged()) == []
    return positions


def test_nothing_is_damaged_as_long_as_nobody_touches_it(filled: DirectoryProjection) -> None:
    assert [*filled.damaged(), *filled.damaged()] == []


@pytest.mark.promise("projection")
def test_a_removed_and_a_changed_file_come_back(
    log: RuleLog, filled: DirectoryProjection, root: Path
) -> None:
    (root / "a.yml").write_bytes(b"X")
    shutil.rmtree(root / "d")
    assert heal(log, filled) == [1, 2]
    assert read_tree(root) == (log.cursor(), {"a.yml": b"1", "d/b.yml": b"2"})


def test_an_edit_of_equal_size_and_time_is_found(filled: DirectoryProjection, root: Path) -> None:
    filled.damaged()
    status = (root / "a.yml").stat()
    (root / "a.yml").write_bytes(b"X")
    os.utime(root / "a.yml", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert filled.damaged() == [1]


def test_links_in_the_place_of_our_files_are_replaced_and_not_followed(
    log: RuleLog, filled: DirectoryProjection, root: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "b.yml").write_bytes(b"2")
    (root / "a.yml").unlink()
    (root / "a.yml").symlink_to(outside / "b.yml")
    shutil.rmtree(root / "d")
    (root / "d").symlink_to(outside)
    assert heal(log, filled) == [1, 2]
    assert files_below(root) == {"a.yml": b"1", "d/b.yml": b"2"}
    assert files_below(outside) == {"b.yml": b"2"}
    assert not (root / "d").is_symlink()


def test_a_removal_never_follows_a_link(
    log: RuleLog, filled: DirectoryProjection, root: Path, tmp_path: Path
) -> None:
    (root / "d").rename(tmp_path / "d")
    (root / "d").symlink_to(tmp_path / "d")
    log.commit_into(filled, Change("R2"))
    assert files_below(tmp_path / "d") == {"b.yml": b"2"}


def test_what_strangers_add_is_reported_and_stays(
    log: RuleLog, filled: DirectoryProjection, root: Path
) -> None:
    (root / "d" / "notes.txt").write_text("mine")
    (root / "link").symlink_to("/")
    (root / "empty").mkdir()
    assert filled.strangers() == ["d/notes.txt", "empty/", "link"]
    log.commit_into(filled, Change("R2"))
    assert files_below(root) == {"a.yml": b"1", "d/notes.txt": b"mine", "empty/": b""}


def test_a_strangers_file_in_the_way_is_set_aside_until_it_is_gone(
    log: RuleLog, filled: DirectoryProjection, root: Path
) -> None:
    (root / "c.yml").write_text("mine")
    log.commit_into(filled, Change("R3", "c.yml", b"3"), Change("R4", "c2.yml", b"4"))
    assert [record.position for record in filled.set_aside] == [3]
    assert (root / "c.yml").read_text() == "mine"
    assert "c.yml" not in read_tree(root)[1]
    assert filled.damaged() == []
    (root / "c.yml").unlink()
    assert heal(log, filled) == [3]
    assert (root / "c.yml").read_bytes() == b"3"
    assert filled.set_aside == ()


@pytest.mark.parametrize("stands", ["e/f/mine.txt", "e"])
def test_a_strangers_directory_or_file_on_the_way_is_set_aside(
    stands: str, log: RuleLog, filled: DirectoryProjection, root: Path
) -> None:
    (root / stands).parent.mkdir(parents=True, exist_ok=True)
    (root / stands).write_text("mine")
    log.commit_into(filled, Change("R3", "e/f", b"3"))
    assert "not ours" in filled.set_aside[0].reason
    assert (root / stands).read_text() == "mine"
    filled.close()
    filled.open(LOG_ID)
    assert "not ours" in filled.set_aside[0].reason
    log.commit_into(filled, Change("R3"))
    assert filled.set_aside == ()
    assert (root / stands).read_text() == "mine"


def test_told_to_stop_it_stops_before_a_strangers_file(log: RuleLog, root: Path) -> None:
    live = DirectoryProjection(root, on_error="stop")
    live.open(LOG_ID)
    (root / "c.yml").write_text("mine")
    log.commit(Change("R1", "a.yml", b"1"))
    log.commit(Change("R3", "c.yml", b"3"))
    with pytest.raises(ProjectionError, match=r"position 2.*not ours"):
        log.feed(live)
    assert read_tree(root) == (log.cursor(1), {"a.yml": b"1"})
    (root / "c.yml").unlink()
    log.feed(live)
    assert files_below(root) == {"a.yml": b"1", "c.yml": b"3"}
    live.close()


def test_a_pipe_in_the_place_of_a_file_blocks_nothing(
    log: RuleLog, filled: DirectoryProjection, root: Path
) -> None:
    (root / "a.yml").unlink()
    os.mkfifo(root / "a.yml")
    with pytest.raises(UnsettledTreeError, match=r"a\.yml"):
        read_tree(root, attempts=2, pause=0)
    assert heal(log, filled) == [1]


def test_a_removed_manifest_comes_back(filled: DirectoryProjection, root: Path) -> None:
    before = (root / MANIFEST).read_bytes()
    (root / MANIFEST).unlink()
    assert filled.damaged() == []
    assert (root / MANIFEST).read_bytes() == before


def lose_waiting_file(log: RuleLog, filled: DirectoryProjection, root: Path) -> None:
    """Let a second rule wait for the path ``a.yml``, and lose the content that is kept for it."""
    log.commit_into(filled, Change("R3", "a.yml", b"3"))
    next(root.glob(".eventstore-*.kept")).unlink()


def test_the_kept_content_of_a_waiting_file_is_mended_too(
    log: RuleLog, filled: DirectoryProjection, root: Path
) -> None:
    lose_waiting_file(log, filled, root)
    assert heal(log, filled) == [3]
    log.commit_into(filled, Change("R1"))
    assert (root / "a.yml").read_bytes() == b"3"


def test_a_waiting_file_whose_content_was_lost_is_mended_from_the_log(
    log: RuleLog, filled: DirectoryProjection, root: Path
) -> None:
    lose_waiting_file(log, filled, root)
    log.commit_into(filled, Change("R1"))
    assert heal(log, filled) == [3]
    assert read_tree(root)[1] == {"a.yml": b"3", "d/b.yml": b"2"}


def test_mending_a_redacted_event_lets_the_file_go(
    log: RuleLog, filled: DirectoryProjection, root: Path
) -> None:
    (root / "a.yml").unlink()
    redacted = RuleLog([[Change("R1", redacted=True)]]).events
    filled.mend(redacted)
    assert read_tree(root) == (log.cursor(), {"d/b.yml": b"2"})


def test_mending_with_an_event_that_means_another_thing_is_refused(
    filled: DirectoryProjection, root: Path
) -> None:
    other = RuleLog([[Change("R1", "a.yml", b"other")]]).events
    with pytest.raises(ProjectionError, match="rebuild"):
        filled.mend(other)
    assert (root / "a.yml").read_bytes() == b"1"


@pytest.mark.parametrize("again", [False, True])
def test_a_root_that_is_gone_or_replaced_is_a_typed_error(
    again: bool, log: RuleLog, filled: DirectoryProjection, root: Path
) -> None:
    shutil.rmtree(root)
    if again:
        root.mkdir()
    with pytest.raises(StorageError, match="removed or replaced"):
        filled.damaged()
    with pytest.raises(StorageError, match="removed or replaced"):
        log.feed(filled)
    filled.close()
    assert filled.open(LOG_ID) is None
    log.feed(filled)
    assert files_below(root) == {"a.yml": b"1", "d/b.yml": b"2"}


def test_a_disk_that_fills_half_way_leaves_the_old_view(
    log: RuleLog, filled: DirectoryProjection, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, left = SafeTree.stage, iter(range(3))

    def stage(tree: SafeTree, content: bytes, **how: bool) -> str:
        if next(left, None) is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(tree, content, **how)

    before = read_tree(root)
    log.commit(Change("R1", "a.yml", b"9"), Change("R2"), *(Change(f"N{n}", f"n{n}") for n in "ab"))
    with monkeypatch.context() as patch:
        patch.setattr(SafeTree, "stage", stage)
        with pytest.raises(StorageError, match="No space left"):
            log.feed(filled)
    assert read_tree(root) == before
    log.feed(filled)
    assert files_below(root) == {"a.yml": b"9", "na": b"", "nb": b""}
    assert not list(root.glob("*.tmp"))


def test_reading_a_directory_that_nothing_projects_is_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="nothing projects it"):
        read_tree(tmp_path)
    with pytest.raises(StorageError, match="No such file"):
        read_tree(tmp_path / "nowhere")
