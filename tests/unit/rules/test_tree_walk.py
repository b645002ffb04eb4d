"""Which files of a tree count, under which path, and why the others do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.master import fill, lock_folder

from projections.rules import SourceError
from projections.rules.formats import files_ending
from projections.rules.sources._bound_reads import list_inside
from projections.rules.sources.scan import Scanner

if TYPE_CHECKING:
    from pathlib import Path

YAML = files_ending(".yml", ".yaml")


def found(root: Path) -> list[str]:
    return sorted(Scanner(root, YAML).scan())


def problems(root: Path) -> dict[str, str | None]:
    return {path: file.problem for path, file in Scanner(root, YAML).scan().items() if file.problem}


def ignored(root: Path) -> dict[str, str]:
    scanner = Scanner(root, YAML, unlike="has another ending")
    scanner.scan()
    return dict(scanner.ignored)


def swap(root: Path, link: str, target: str) -> None:
    (root / "..new").symlink_to(target)
    (root / "..new").rename(root / link)


def config_map(root: Path) -> Path:
    """Lay out a volume as Kubernetes mounts a ConfigMap with nested paths."""
    fill(root, {"..1/windows/a.yml": "one", "..1/linux/deep/b.yml": "one", "..1/c.yml": "one"})
    fill(root, {"..2/windows/a.yml": "two", "..2/linux/deep/b.yml": "two", "..2/c.yml": "two"})
    (root / "..data").symlink_to("..1")
    for name in ("windows", "linux", "c.yml"):
        (root / name).symlink_to(f"..data/{name}")
    return root


def test_links_to_folders_are_followed_as_kubernetes_mounts_them(root: Path) -> None:
    scanner = Scanner(config_map(root), YAML)
    before = scanner.scan()
    assert sorted(before) == ["c.yml", "linux/deep/b.yml", "windows/a.yml"]
    assert len({file.sha256 for file in before.values()}) == 1
    swap(root, "..data", "..2")
    after = scanner.scan()
    assert sorted(after) == sorted(before)
    assert {file.sha256 for file in after.values()}.isdisjoint(
        file.sha256 for file in before.values()
    )


def test_hidden_folders_that_links_lead_into_are_not_ignored_ones(root: Path) -> None:
    config_map(root)
    assert ignored(root) == {"..2/": "is hidden"}


def test_a_swap_during_the_walk_is_seen_as_a_whole(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scanner = Scanner(config_map(root), YAML)
    swapped = False

    def swapping(folder: str, real_root: str) -> object:
        nonlocal swapped
        if folder.endswith("linux") and not swapped:
            swapped = True
            swap(root, "..data", "..2")
        return list_inside(folder, real_root)

    monkeypatch.setattr("projections.rules.sources._tree_walk.list_inside", swapping)
    assert len({file.sha256 for file in scanner.scan().values()}) == 1
    assert swapped


@pytest.mark.parametrize("target", [".", "..", "../rules", "sub", "sub/again"])
def test_loops_of_links_end(root: Path, target: str) -> None:
    fill(root, {"sub/x.yml": "", "y.yml": ""})
    (root / "sub" / "again").symlink_to(target)
    assert {"sub/x.yml", "y.yml"} <= set(found(root))
    assert len([path for path in found(root) if path.endswith(".yml")]) == 2


@pytest.mark.parametrize(
    ("links", "path"),
    [
        ({"long-name/s": "../a"}, "a/x.yml"),
        ({"s": "a"}, "a/x.yml"),
        ({"b": "a", "0": "a"}, "0/x.yml"),
        ({"z.yml": "a/x.yml"}, "z.yml"),
        ({"long-link-name.yml": "a/x.yml"}, "a/x.yml"),
        ({".h": "a"}, "a/x.yml"),
    ],
)
def test_a_file_counts_once_by_its_shortest_visible_path(
    root: Path, links: dict[str, str], path: str
) -> None:
    fill(root, {"a/x.yml": ""})
    for link, target in links.items():
        (root / link).parent.mkdir(exist_ok=True)
        (root / link).symlink_to(target)
    assert found(root) == [path]


def test_hard_links_are_two_files(root: Path) -> None:
    fill(root, {"a.yml": ""})
    (root / "b.yml").hardlink_to(root / "a.yml")
    assert found(root) == ["a.yml", "b.yml"]


def test_links_out_of_the_tree_are_problems(root: Path, tmp_path: Path) -> None:
    fill(tmp_path, {"other/x.yml": "", "README.md": "", "rules-too/y.yml": ""})
    (root / "folder").symlink_to("../other")
    (root / "absolute").symlink_to(tmp_path / "rules-too")
    (root / "file.yml").symlink_to("../other/x.yml")
    (root / "README.md").symlink_to("../README.md")
    out = "is a link that leads out of the directory"
    assert problems(root) == {"folder": out, "absolute": out, "file.yml": out}
    assert list(ignored(root)) == ["README.md"]


def test_a_chain_of_links_that_passes_outside_and_returns_is_followed(
    root: Path, tmp_path: Path
) -> None:
    fill(root, {".v1/x.yml": ""})
    (tmp_path / "outside").symlink_to(root / ".v1")
    (root / "rules").symlink_to("../outside")
    assert found(root) == ["rules/x.yml"]


def test_a_link_to_nothing_may_have_been_a_folder(root: Path) -> None:
    (root / "windows").symlink_to("..data/windows")
    assert problems(root) == {"windows": "is a link to nothing"}


def test_every_other_file_is_ignored_for_a_reason(root: Path) -> None:
    names = ["README.md", "a.json", "a.yml~", "new.yml.part", ".hidden.yml", "sub/b.txt"]
    fill(root, dict.fromkeys(names, ""))
    fill(root, {".git/config": "", "lost+found/x.yml": "", "a.yml": "", "sub/c.YML": ""})
    assert found(root) == ["a.yml", "sub/c.YML"]
    assert ignored(root) == {
        "README.md": "has another ending",
        "a.json": "has another ending",
        "a.yml~": "is a backup",
        "new.yml.part": "is an unfinished transfer",
        ".hidden.yml": "is hidden",
        "sub/b.txt": "has another ending",
        ".git/": "is hidden",
        "lost+found/": "is kept by the system",
    }


def test_a_folder_that_cannot_be_listed_is_a_problem_of_its_own(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(root, {"locked/a.yml": "", "open/b.yml": "", "c.yml": ""})
    lock_folder(monkeypatch)
    assert problems(root) == {"locked": "cannot be listed: Permission denied"}
    assert found(root) == ["c.yml", "locked", "open/b.yml"]


def test_a_root_that_cannot_be_listed_is_refused(root: Path) -> None:
    (root / "file").write_text("")
    with pytest.raises(SourceError, match="cannot be listed"):
        found(root / "file")


def test_folders_that_lie_empty_are_named(root: Path) -> None:
    fill(root, {"full/a.yml": "", "hidden/.keep": ""})
    (root / "empty" / "below").mkdir(parents=True)
    scanner = Scanner(root, YAML)
    scanner.scan()
    assert scanner.empty == ("empty/below/",)
