"""Sigma files of several rules on a log that the released version works on, too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

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


class Shared(NamedTuple):
    """The released version and this one, and the log and the source that both work on."""

    old: Version
    new: Version
    url: str
    root: Path

    def sync(self, version: Version) -> list[int]:
        return list(version.call("sync", url=self.url, directory=str(self.root), format="sigma"))


@pytest.fixture
def shared(pair: Pair, url: str, tmp_path: Path) -> Shared:
    """Give a source of one file, in no log yet."""
    old, new = sorted(pair, key=lambda version: version.name == NEW)
    return Shared(old, new, url, fill(tmp_path / "rules", {"a.yml": CONTENT}))


def rules(version: Version, url: str) -> dict[str, Any]:
    return dict(version.call("rules", url=url))


def test_a_collection_becomes_its_rules_and_both_versions_go_on(shared: Shared) -> None:
    old, new, url, _ = shared
    assert shared.sync(old)[:3] == [1, 0, 0]
    assert list(rules(new, url)) == [BASE], "an old log folds as before"
    assert "collection" in rules(new, url)[BASE]["match_spec"]
    assert shared.sync(new)[:3] == [1, 0, 0]
    for version in (old, new):
        found = rules(version, url)
        assert set(found) == {BASE, LINKED}
        assert found[BASE]["emits"] == []
        assert found[LINKED]["emits"]
    head = new.call("head", url=url)
    assert shared.sync(old) == [0, 0, 0, 1]
    assert shared.sync(new) == [0, 0, 0, 1]
    assert new.call("head", url=url) == head


def test_the_file_is_in_the_directories_of_both_versions(shared: Shared, tmp_path: Path) -> None:
    old, new, url, root = shared
    for text in (CONTENT, sigma_file(linked, base), sigma_file(linked, base + "level: low\n")):
        fill(root, {"a.yml": text})
        shared.sync(new)
        for version in (old, new):
            live = tmp_path / version.name
            version.call("project", url=url, directory=str(live))
            assert (live / "a.yml").read_text() == text


def test_what_the_released_master_edits_this_one_takes_apart_again(shared: Shared) -> None:
    old, new, url, root = shared
    shared.sync(new)
    fill(root, {"a.yml": CONTENT + "level: low\n"})
    shared.sync(old)
    assert "collection" in rules(new, url)[BASE]["match_spec"]
    shared.sync(new)
    assert rules(new, url)[BASE]["match_spec"]["base_of"] == [LINKED]
    assert set(rules(old, url)) == {BASE, LINKED}
