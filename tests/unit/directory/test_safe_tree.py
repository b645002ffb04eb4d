"""File operations below one directory: complete, durable, and never outside of it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.open_files import open_below

from eventstore.errors import StorageError
from projections.directory._safe_names import ObstructedError
from projections.directory._safe_tree import SafeTree, translate_errors


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    path = tmp_path / "outside"
    path.mkdir()
    (path / "secret").write_bytes(b"theirs")
    return path


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[SafeTree]:
    (tmp_path / "root").mkdir()
    tree = SafeTree(tmp_path / "root")
    yield tree
    tree.close()


def write(tree: SafeTree, path: str, content: bytes = b"new", *, ours: bool = False) -> None:
    tree.place(tree.stage(content), path, ours=ours)
    tree.sync()
    tree.release()


def test_a_placed_file_is_complete_and_leaves_no_temporary_one(
    tree: SafeTree, tmp_path: Path
) -> None:
    write(tree, "a/b/c", b"x" * 100_000)
    assert (tmp_path / "root/a/b/c").read_bytes() == b"x" * 100_000
    assert tree.entries() == [("a", True)]
    assert (tmp_path / "root/a/b/c").stat().st_nlink == 1


@pytest.mark.parametrize("ours", [True, False])
def test_a_linked_directory_is_replaced_and_what_it_points_to_stays(
    ours: bool, tree: SafeTree, outside: Path, tmp_path: Path
) -> None:
    (tmp_path / "root/d").symlink_to(outside)
    write(tree, "d/secret", ours=ours)
    assert (outside / "secret").read_bytes() == b"theirs"
    assert (tmp_path / "root/d/secret").read_bytes() == b"new"


def test_nothing_is_read_or_removed_through_a_link(
    tree: SafeTree, outside: Path, tmp_path: Path
) -> None:
    (tmp_path / "root/d").symlink_to(outside)
    (tmp_path / "root/f").symlink_to(outside / "secret")
    assert (tree.read("d/secret"), tree.read("f"), tree.lstat("d/secret")) == (None, None, None)
    assert tree.entries("d") == []
    tree.remove("d/secret")
    tree.prune(["d/secret"])
    assert (outside / "secret").exists()
    assert (tmp_path / "root/d").is_symlink()


def test_a_link_that_comes_after_the_check_is_not_followed(
    tree: SafeTree, outside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.mkdir

    def mkdir(name: bytes, **options: int) -> None:
        (tmp_path / "root" / os.fsdecode(name)).symlink_to(outside)
        real(name, **options)

    monkeypatch.setattr("projections.directory._safe_names.os.mkdir", mkdir)
    with pytest.raises(ObstructedError):
        write(tree, "d/secret")
    assert (outside / "secret").read_bytes() == b"theirs"


def test_a_file_that_comes_after_the_check_is_not_overwritten(
    tree: SafeTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def clear(above: int, name: str) -> None:
        (tmp_path / "root" / name).write_bytes(b"theirs")

    monkeypatch.setattr("projections.directory._safe_tree.clear_stranger", clear)
    with pytest.raises(ObstructedError, match="not ours"):
        write(tree, "a")
    assert (tmp_path / "root/a").read_bytes() == b"theirs"


def test_without_hard_links_a_rename_has_to_do(
    tree: SafeTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*_: object, **__: object) -> None:
        raise PermissionError(1, "no hard links here")

    monkeypatch.setattr("projections.directory._safe_names.os.link", link)
    write(tree, "a")
    assert (tmp_path / "root/a").read_bytes() == b"new"


def test_a_strangers_file_is_replaced_only_where_it_is_said_to_be_ours(
    tree: SafeTree, tmp_path: Path
) -> None:
    (tmp_path / "root/a").write_bytes(b"theirs")
    with pytest.raises(ObstructedError):
        write(tree, "a")
    write(tree, "a", ours=True)
    assert tree.read("a") == b"new"


@pytest.mark.parametrize("ours", [True, False])
def test_an_empty_directory_makes_way_and_a_full_one_does_not(
    ours: bool, tree: SafeTree, tmp_path: Path
) -> None:
    (tmp_path / "root/empty").mkdir()
    write(tree, "empty", ours=ours)
    assert tree.read("empty") == b"new"
    (tmp_path / "root/full/x").mkdir(parents=True)
    with pytest.raises(ObstructedError, match="not ours"):
        write(tree, "full", ours=ours)
    assert (tmp_path / "root/full/x").is_dir()


def test_pruning_removes_empty_directories_only(tree: SafeTree, tmp_path: Path) -> None:
    for path in ("a/b/c/f", "a/g"):
        write(tree, path)
    tree.remove("a/b/c/f")
    tree.prune(["a/b/c/f"])
    assert tree.entries("a") == [("a/g", False)]


def test_more_directories_than_are_kept_open_work(tree: SafeTree, tmp_path: Path) -> None:
    for number in range(300):
        tree.place(tree.stage(b"x"), f"d{number}/e/f", ours=False)
    tree.sync()
    assert tree.read("d0/e/f") == b"x"
    assert len(open_below(tmp_path)) < 400


def test_names_are_utf8_and_odd_ones_of_strangers_can_be_listed(
    tree: SafeTree, tmp_path: Path
) -> None:
    write(tree, "\u00e9")
    (tmp_path / "root" / os.fsdecode(b"\xff")).mkdir()
    assert b"\xc3\xa9" in [os.fsencode(path.name) for path in (tmp_path / "root").iterdir()]
    assert tree.entries("\udcff") == []


def test_an_error_of_the_system_names_the_file() -> None:
    expected = pytest.raises(StorageError, match="here: /nowhere: No such file")
    with expected as caught, translate_errors("here"):
        Path("/nowhere").stat()
    assert isinstance(caught.value.__cause__, FileNotFoundError)


@pytest.mark.parametrize("path", ["../x", "a/../../x", "..", ".", "a//x", ""])
def test_a_path_that_was_not_checked_leads_nowhere(
    path: str, tree: SafeTree, tmp_path: Path
) -> None:
    (tmp_path / "x").write_bytes(b"theirs")
    write(tree, "a/b")
    staged = tree.stage(b"new")
    for use in (
        tree.lstat,
        tree.read,
        tree.remove,
        lambda path: tree.place(staged, path, ours=True),
    ):
        with pytest.raises(OSError, match="no name"):
            use(path)
    assert (tmp_path / "x").read_bytes() == b"theirs"
