"""Entry points are found as importlib.metadata finds them."""

from __future__ import annotations

import sys
from importlib.metadata import entry_points
from typing import TYPE_CHECKING
from zipfile import ZipFile

import pytest

from eventstore.system import entry_points as own
from eventstore.system.entry_points import EntryPoint, find_entry_points

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.unit

GROUP = "eventstore.example"


def install(site: Path, folder: str, text: str, name: str = "acme-shop") -> None:
    (site / folder).mkdir(parents=True)
    (site / folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\n\nName: no\n")
    (site / folder / "entry_points.txt").write_text(text)


def test_what_is_installed_here_is_found_as_importlib_finds_it() -> None:
    assert own._only_directories()
    every = entry_points()
    assert {"console_scripts", "eventstore.commands"} <= every.groups
    for group in every.groups:
        expected = [
            (one.dist.name, one.name, one.value) for one in every.select(group=group) if one.dist
        ]
        assert sorted(find_entry_points(group)) == sorted(expected)


def test_of_two_packages_of_one_name_the_first_on_the_path_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for at, folder in enumerate(["Acme.Shop-2.0.dist-info", "acme_shop-1.0.dist-info"]):
        text = f"[other]\na = b:c\n\n[{GROUP}]\n# x = y:z\n orders = acme.v{at}:ORDERS [extra] \n"
        install(tmp_path / str(at), folder, text)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "0"), str(tmp_path / "1"), *sys.path])
    expected = EntryPoint("acme-shop", "orders", "acme.v0:ORDERS [extra]")
    assert find_entry_points(GROUP) == [expected]
    assert [tuple(expected)] == [
        (one.dist.name if one.dist else "", one.name, one.value)
        for one in entry_points(group=GROUP)
    ]


def test_a_package_in_an_archive_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ZipFile(tmp_path / "acme.zip", "w") as archive:
        archive.writestr("acme-1.0.dist-info/METADATA", "Name: acme\n")
        archive.writestr("acme-1.0.dist-info/entry_points.txt", f"[{GROUP}]\norders = acme:X\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "acme.zip"), *sys.path])
    assert find_entry_points(GROUP) == [EntryPoint("acme", "orders", "acme:X")]


def test_an_entry_point_is_loaded() -> None:
    assert EntryPoint("a", "b", "pathlib:Path.home [x]").load()
    assert EntryPoint("a", "b", "eventstore.system.entry_points").load() is own
    with pytest.raises(ValueError, match="is no module:attribute"):
        EntryPoint("a", "b", "no module").load()
