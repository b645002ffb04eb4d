"""The check of imports finds what it is for, and fails where it finds nothing to check."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("grimp", reason="grimp comes with import-linter, in the group lint")

from scripts.check_imports import find_faults, main, owner

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return the folder of a package that can be imported, and is forgotten afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    root = tmp_path / "planted"
    root.mkdir()
    yield root
    for name in [name for name in sys.modules if name.partition(".")[0] == "planted"]:
        del sys.modules[name]


def fill(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        for folder in (path.parent, *path.parent.parents):
            if folder.is_relative_to(root):
                (folder / "__init__.py").touch()
        path.write_text(text)


def test_imports_within_a_package_and_downwards_are_no_fault(package: Path) -> None:
    fill(package, {
        "a/_inner.py": "", "a/b/deep.py": "from planted.a import _inner\n",
        "a/outer.py": "from planted.a._inner import __name__\n",
        "user.py": "import planted.a.outer\n",
    })  # fmt: skip
    assert find_faults(("planted",)) == []


def test_a_private_module_is_not_for_other_packages(package: Path) -> None:
    fill(package, {"a/_inner.py": "", "b/user.py": "from planted.a import _inner\n"})
    assert find_faults(("planted",)) == [
        "planted.b.user imports planted.a._inner, which is private to planted.a"
    ]


def test_a_private_package_is_not_for_the_package_beside_it(package: Path) -> None:
    fill(package, {"a/_b/c.py": "", "d/user.py": "import planted.a._b.c\n"})
    assert find_faults(("planted",)) == [
        "planted.d.user imports planted.a._b.c, which is private to planted.a"
    ]


def test_a_circle_is_found_although_a_type_checker_alone_follows_it(package: Path) -> None:
    fill(package, {
        "a.py": "import planted.b\n",
        "b.py": "import planted.c\n",
        "c.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import planted.a\n",
        "user.py": "import planted.a\n",
    })  # fmt: skip
    assert find_faults(("planted",)) == ["circle of imports: planted.a, planted.b, planted.c"]


def test_nothing_to_check_is_a_fault(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(package, {"alone.py": ""})
    assert main(["planted"]) == 1
    assert capsys.readouterr().out.startswith("no imports were found in planted")


@pytest.mark.parametrize(
    ("module", "package"),
    [("a.b", None), ("a._b", "a"), ("a._b._c.d", "a._b"), ("a.__main__", None)],
)
def test_the_last_private_name_says_whose_a_module_is(module: str, package: str | None) -> None:
    assert owner(module) == package
