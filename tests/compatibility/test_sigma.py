"""Sigma files of several rules on a log that the released version works on, too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.master import fill
from support.sigma import correlation, detection, sigma_file

from .versions import NEW

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Pair
    from .versions import Version

pytestmark = [pytest.mark.promise("releases"), pytest.mark.slow]

BASE = "aaaaaaaa-0000-4000-8000-000000000001"
LINKED = "bbbbbbbb-0000-4000-8000-000000000001"
TAGS = "tags: [attack.t1110, attack.credential-access]\n"

base = detection("Failed logon", f"id: {BASE}\nname: failed_logon\n{TAGS}")
linked = correlation("Many", f"id: {LINKED}\n{TAGS}", rules="[failed_logon]")
CONTENT = sigma_file(base, linked)


def old_and_new(pair: Pair) -> tuple[Version, Version]:
    """Return the released version, and this one."""
    old, new = sorted(pair, key=lambda version: version.name == NEW)
    return old, new


def rules(version: Version, url: str) -> dict[str, Any]:
    return dict(version.call("rules", url=url))


def test_a_collection_becomes_its_rules_and_both_versions_go_on(
    pair: Pair, url: str, tmp_path: Path
) -> None:
    old, new = old_and_new(pair)
    root = fill(tmp_path / "rules", {"a.yml": CONTENT})
    where = {"url": url, "directory": str(root), "format": "sigma"}
    assert old.call("sync", **where)[:3] == [1, 0, 0]
    assert list(rules(new, url)) == [BASE], "an old log folds as before"
    assert "collection" in rules(new, url)[BASE]["match_spec"]
    assert new.call("sync", **where)[:3] == [1, 0, 0]
    for version in (old, new):
        found = rules(version, url)
        assert set(found) == {BASE, LINKED}
        assert found[BASE]["emits"] == []
        assert found[LINKED]["emits"]
    head = new.call("head", url=url)
    assert old.call("sync", **where) == [0, 0, 0, 1]
    assert new.call("sync", **where) == [0, 0, 0, 1]
    assert new.call("head", url=url) == head


def test_the_file_is_in_the_directories_of_both_versions(
    pair: Pair, url: str, tmp_path: Path
) -> None:
    old, new = old_and_new(pair)
    root = fill(tmp_path / "rules", {"a.yml": CONTENT})
    where = {"url": url, "directory": str(root), "format": "sigma"}
    for text in (CONTENT, sigma_file(linked, base), sigma_file(linked, base + "level: low\n")):
        fill(root, {"a.yml": text})
        new.call("sync", **where)
        for version in (old, new):
            live = tmp_path / version.name
            version.call("project", url=url, directory=str(live))
            assert (live / "a.yml").read_text() == text


def test_what_the_released_master_edits_this_one_takes_apart_again(
    pair: Pair, url: str, tmp_path: Path
) -> None:
    old, new = old_and_new(pair)
    root = fill(tmp_path / "rules", {"a.yml": CONTENT})
    where = {"url": url, "directory": str(root), "format": "sigma"}
    new.call("sync", **where)
    fill(root, {"a.yml": CONTENT + "level: low\n"})
    old.call("sync", **where)
    assert "collection" in rules(new, url)[BASE]["match_spec"]
    new.call("sync", **where)
    assert rules(new, url)[BASE]["match_spec"]["base_of"] == [LINKED]
    assert set(rules(old, url)) == {BASE, LINKED}
