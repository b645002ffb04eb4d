"""What a scan takes for a rule file, what it refuses, and what it must not miss."""

from __future__ import annotations

import inspect
import os
import re
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.master import fill

from eventstore.system.stat_cache import FileStamp
from projections.rules import SourceError
from projections.rules.sources.scan import ScannedFile, Scanner

if TYPE_CHECKING:
    from collections.abc import Callable

ANY_NAME = re.compile(r".+", re.DOTALL)
RULES = re.compile(r"[A-Za-z0-9_]+\.ya?ml")


def scanner(root: Path, max_bytes: int = 1024) -> Scanner:
    return Scanner(root, RULES, max_bytes)


def problem(root: Path, path: str = "x.yml") -> str | None:
    return scanner(root).scan()[path].problem


def make_old(file: Path) -> None:
    """Give a file a modification time that no edit of today can have."""
    os.utime(file, (1_000_000_000, 1_000_000_000))


def test_paths_are_relative_with_slashes(root: Path) -> None:
    fill(root, {"b.yml": "", "sub/deep/a.yml": ""})
    assert sorted(scanner(root).scan()) == ["b.yml", "sub/deep/a.yml"]


@pytest.mark.parametrize(
    "name", [".x.yml.swp", "4913", "x.yml~", "#x.yml#", ".#x.yml", ".x.yml", "x.yml___jb_tmp___"]
)
def test_scratch_files_are_ignored_however_wide_the_allow_list(root: Path, name: str) -> None:
    fill(root, {name: "["})
    assert Scanner(root, ANY_NAME).scan() == {}


def test_hidden_folders_are_ignored(root: Path) -> None:
    fill(root, {".git/x.yml": "", ".venv/lib/x.yml": ""})
    assert Scanner(root, ANY_NAME).scan() == {}


def test_a_hidden_parent_of_the_root_hides_nothing(tmp_path: Path) -> None:
    root = fill(tmp_path / ".venv" / "rules", {"x.yml": ""})
    assert list(scanner(root).scan()) == ["x.yml"]


def test_a_file_that_is_too_large_is_refused_without_being_read(root: Path) -> None:
    with (root / "x.yml").open("wb") as stream:
        stream.truncate(1 << 40)  # a terabyte of nothing
    assert "more than the 1,024" in str(problem(root))


def test_a_named_pipe_is_refused_and_not_waited_for(root: Path) -> None:
    os.mkfifo(root / "x.yml")
    assert problem(root) == "is no regular file"


def test_a_directory_named_like_a_rule_is_a_directory(root: Path) -> None:
    fill(root, {"x.yml/y.yml": ""})
    assert list(scanner(root).scan()) == ["x.yml/y.yml"]


def test_a_link_out_of_the_tree_is_refused(root: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.yml").write_text("secret")
    (root / "x.yml").symlink_to("../secret.yml")
    assert problem(root) == "is a link that leads out of the directory"


def test_a_link_to_a_sibling_whose_name_begins_like_the_root_is_refused(
    root: Path, tmp_path: Path
) -> None:
    fill(tmp_path, {"rules-private/x.yml": "secret"})
    (root / "x.yml").symlink_to(tmp_path / "rules-private" / "x.yml")
    assert problem(root) == "is a link that leads out of the directory"


def test_a_link_to_a_folder_outside_is_not_followed(root: Path, tmp_path: Path) -> None:
    fill(tmp_path, {"outside/x.yml": "secret"})
    (root / "sub").symlink_to(tmp_path / "outside")
    assert problem(root, "sub") == "is a link that leads out of the directory"
    assert list(scanner(root).scan()) == ["sub"]


def test_a_link_to_nothing_is_refused_and_not_taken_for_a_deletion(root: Path) -> None:
    (root / "x.yml").symlink_to("missing.yml")
    assert problem(root) == "is a link to nothing"


@pytest.mark.parametrize("target", ["x.yml", "y.yml"])
def test_a_link_that_leads_to_itself_is_refused(root: Path, target: str) -> None:
    (root / "x.yml").symlink_to(target)
    (root / "y.yml").symlink_to("x.yml")
    assert problem(root) is not None


def test_a_folder_that_links_to_its_parent_is_not_followed(root: Path) -> None:
    fill(root, {"sub/x.yml": ""})
    (root / "sub" / "again").symlink_to(root)
    assert list(scanner(root).scan()) == ["sub/x.yml"]


def test_links_inside_the_tree_are_taken_as_kubernetes_lays_them_out(root: Path) -> None:
    fill(root, {"..2024/x.yml": "one", "..2025/x.yml": "two"})
    (root / "..data").symlink_to("..2024")
    (root / "x.yml").symlink_to("..data/x.yml")
    look = scanner(root)
    before = look.scan()
    (root / "..new").symlink_to("..2025")
    (root / "..new").rename(root / "..data")
    after = look.scan()
    assert list(before) == list(after) == ["x.yml"]
    assert before["x.yml"].sha256 != after["x.yml"].sha256


def test_the_root_itself_may_be_a_link(root: Path, tmp_path: Path) -> None:
    fill(root, {".v1/real.yml": "", "y.yml": ""})
    (root / "x.yml").symlink_to(".v1/real.yml")
    (tmp_path / "link").symlink_to(root)
    found = scanner(tmp_path / "link").scan()
    assert {path: file.problem for path, file in found.items()} == {"x.yml": None, "y.yml": None}


def test_a_root_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is not there"):
        scanner(tmp_path / "missing").scan()


def test_a_root_that_links_to_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(SourceError, match="cannot be listed"):
        scanner(tmp_path / "loop").scan()


def count_noticed(root: Path, then: Callable[[Path], None]) -> int:
    """Edit a file 200 times, its size unchanged, and scan each time; return how many it noticed."""
    file = root / "x.yml"
    look = scanner(root)
    hashes = set()
    for number in range(200):
        file.write_text(f"{number:03}")
        then(file)
        hashes.add(look.scan()["x.yml"].sha256)
    return len(hashes)


def test_an_edit_of_equal_size_within_one_tick_of_the_clock_is_noticed(root: Path) -> None:
    assert count_noticed(root, lambda _: None) == 200


def test_an_edit_that_puts_the_old_time_back_is_noticed(root: Path) -> None:
    assert count_noticed(root, make_old) == 200


@pytest.mark.parametrize("dated_back", [False, True])
def test_an_equal_stamp_of_a_young_file_is_not_believed(
    root: Path, monkeypatch: pytest.MonkeyPatch, dated_back: bool
) -> None:
    # What a kernel with a coarse clock does: two contents, one stamp.
    file = fill(root, {"x.yml": "one"}) / "x.yml"
    if dated_back:
        make_old(file)
    look = scanner(root)
    first = look.scan()["x.yml"]
    file.write_text("two")
    monkeypatch.setattr(FileStamp, "of", lambda status: first.stamp)
    assert look.scan()["x.yml"].sha256 != first.sha256


@pytest.mark.parametrize(
    ("age_ns", "fraction_ns", "believed"),
    [(2_400_000_000, 0, False), (2_600_000_000, 0, True), (2_400_000_000, 1, True)],
)
def test_a_time_of_whole_seconds_is_believed_after_two_and_a_half(
    root: Path, monkeypatch: pytest.MonkeyPatch, age_ns: int, fraction_ns: int, believed: bool
) -> None:
    file = fill(root, {"x.yml": "one"}) / "x.yml"
    changed_ns = 1_700_000_000 * 10**9 + fraction_ns
    stamp = FileStamp(1, 1, 3, changed_ns, changed_ns)
    monkeypatch.setattr(FileStamp, "of", lambda status: stamp)
    monkeypatch.setattr("projections.rules.sources.scan.time.time_ns", lambda: changed_ns + age_ns)
    look = scanner(root)
    first = look.scan()["x.yml"]
    file.write_text("two")
    assert (look.scan()["x.yml"] == first) == believed


@pytest.mark.parametrize("when", [0, 4_000_000_000, 2**33])
def test_a_file_from_another_time_is_read_like_any_other(root: Path, when: int) -> None:
    file = fill(root, {"x.yml": "one"}) / "x.yml"
    look = scanner(root)
    os.utime(file, (when, when))
    first = look.scan()["x.yml"].sha256
    file.write_text("two")
    os.utime(file, (when, when))
    assert look.scan()["x.yml"].sha256 != first


def test_a_clock_that_runs_backwards_hides_no_edit(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = fill(root, {"x.yml": "one"}) / "x.yml"
    look = scanner(root)
    first = look.scan()["x.yml"].sha256
    monkeypatch.setattr("projections.rules.sources.scan.time.time_ns", lambda: 0)
    file.write_text("two")
    assert look.scan()["x.yml"].sha256 != first


def test_a_file_at_rest_is_read_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(root, {"x.yml": "one"})
    later = time.time_ns() + 60_000_000_000
    monkeypatch.setattr("projections.rules.sources.scan.time.time_ns", lambda: later)
    look = scanner(root)
    first = look.scan()
    monkeypatch.setattr("projections.rules.sources.scan.read_inside", None)
    assert look.scan() == first


def test_a_file_that_changed_since_the_scan_is_not_read(root: Path) -> None:
    fill(root, {"x.yml": "one"})
    look = scanner(root)
    file = look.scan()["x.yml"]
    assert look.read(file) == b"one"
    fill(root, {"x.yml": "two"})
    assert look.read(file) is None


def replace_by_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def replace_by_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize("replace", [Path.unlink, replace_by_pipe, replace_by_folder])
def test_a_file_replaced_since_the_scan_is_not_read(root: Path, replace: object) -> None:
    fill(root, {"x.yml": "one"})
    look = scanner(root)
    file = look.scan()["x.yml"]
    assert callable(replace)
    replace(root / "x.yml")
    assert look.read(file) is None


def test_a_file_replaced_by_a_folder_between_scans_is_gone(root: Path) -> None:
    fill(root, {"x.yml": "one"})
    look = scanner(root)
    look.scan()
    replace_by_folder(root / "x.yml")
    assert look.scan() == {}


def test_a_tree_nested_more_deeply_than_the_stack_is_read(root: Path) -> None:
    fill(root, {"d/" * 200 + "x.yml": "deep"})
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 150)
    try:
        assert len(scanner(root).scan()) == 1
    finally:
        sys.setrecursionlimit(limit)


def test_files_that_come_and_go_during_a_scan_do_no_harm(root: Path) -> None:
    stop = threading.Event()
    fill(root, {"stays.yml": "here", "sub/stays.yml": "here"})

    def churn() -> None:
        while not stop.is_set():
            fill(root, {f"sub{n}/x{n}.yml": "x" for n in range(20)})
            for n in range(20):
                (root / f"sub{n}" / f"x{n}.yml").unlink()
                (root / f"sub{n}").rmdir()

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        look = scanner(root)
        for _ in range(100):
            assert {"stays.yml", "sub/stays.yml"} <= look.scan().keys()
    finally:
        stop.set()
        thread.join()


def test_thousands_of_files_are_scanned_again_without_being_read(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in range(5):
        (root / f"{folder}").mkdir()
        for number in range(1_000):
            (root / f"{folder}" / f"r{number}.yml").write_bytes(b"%d" % number)
    later = time.time_ns() + 60_000_000_000
    monkeypatch.setattr("projections.rules.sources.scan.time.time_ns", lambda: later)
    look = scanner(root)
    assert len(look.scan()) == 5_000
    monkeypatch.setattr("projections.rules.sources.scan.read_inside", None)
    started = time.thread_time()
    assert len(look.scan()) == 5_000
    assert time.thread_time() - started < 5, "a look at files at rest costs a stat each"


def test_a_problem_has_no_hash(root: Path) -> None:
    os.mkfifo(root / "x.yml")
    assert isinstance(file := scanner(root).scan()["x.yml"], ScannedFile)
    assert file.sha256 == ""
