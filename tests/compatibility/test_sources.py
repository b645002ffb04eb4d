"""Claims and renamed sources, which the released version does not know, on a shared log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest
from support.master import fill, ttp

from eventstore import EventStore
from projections.rules import RuleSync
from projections.rules.sources.renaming import rename_source
from projections.rules.standing_rules import read_rejections

from .versions import release_names

if TYPE_CHECKING:
    from pathlib import Path

    from .versions import Version

pytestmark = [pytest.mark.promise("releases"), pytest.mark.slow]


def synced(url: str, directory: Path, source: str) -> list[int]:
    """Look once with this version; return how many are defined, removed, rejected, unchanged."""

    async def look() -> list[int]:
        async with EventStore.open(url) as store:
            found = await RuleSync(store, directory, source=source).sync_once()
            return [found.defined, found.removed, found.rejected, found.unchanged]

    return anyio.run(look)


def renamed(url: str, before: str, after: str) -> tuple[int, int]:
    async def rename() -> tuple[int, int]:
        async with EventStore.open(url) as store:
            return await rename_source(store, before, after)

    return anyio.run(rename)


def rejected(url: str) -> dict[str, list[str]]:
    async def read() -> dict[str, list[str]]:
        async with EventStore.open(url) as store:
            return {name: sorted(found) for name, found in (await read_rejections(store)).items()}

    return anyio.run(read)


class Shared:
    """A log that a released version and this one use; two directories that define the rule A."""

    def __init__(self, old: Version, this: Version, url: str, directory: Path) -> None:
        self.old, self.url = old, url
        self._this = this
        self.one = fill(directory / "one", {"a.yml": ttp("A", "of one"), "b.yml": ttp("B")})
        self.two = fill(directory / "two", {"a.yml": ttp("A", "of two"), "c.yml": ttp("C")})

    def loaded(self) -> dict[str, Any]:
        """Return the rules that both versions load, which are the same."""
        found = self.old.call("rules", url=self.url)
        assert found == self._this.call("rules", url=self.url)
        return dict(found)

    def synced(self, source: str) -> list[int]:
        """Look at the directory of a source's name with this version."""
        return synced(self.url, getattr(self, source), source)

    def synced_by_old(self, source: str) -> list[int]:
        """Look at the directory of a source's name with the released version."""
        directory = str(getattr(self, source))
        return list(self.old.call("sync", url=self.url, directory=directory, source=source))

    def rejected(self) -> dict[str, list[str]]:
        """Return the files that are rejected, by their sources."""
        return rejected(self.url)

    def assert_taken_up(self) -> None:
        """Fail unless this version's next look at the second directory defines its rule A."""
        assert self.synced("two") == [1, 0, 0, 1]
        assert self.loaded()["A"]["name"] == "of two"


@pytest.fixture(params=release_names())
def shared(
    request: pytest.FixtureRequest, running: dict[str, Version], url: str, tmp_path: Path
) -> Shared:
    """Share a log with each released version."""
    return Shared(running[request.param], running["this version"], url, tmp_path)


def test_a_claim_that_this_version_fulfils_is_a_definition_for_the_released_one(
    shared: Shared,
) -> None:
    assert shared.synced("one") == [2, 0, 0, 0]
    assert shared.synced("two") == [1, 0, 1, 0]
    assert shared.loaded()["A"]["name"] == "of one"
    (shared.one / "a.yml").unlink()
    shared.synced("one")
    assert shared.loaded()["A"]["name"] == "of two"
    assert shared.rejected() == {}
    for source, count in (("one", 1), ("two", 2)):
        assert shared.synced_by_old(source) == [0, 0, 0, count]
        assert shared.synced(source) == [0, 0, 0, count]


def test_a_claim_that_the_released_version_passes_over_is_taken_up_later(shared: Shared) -> None:
    assert shared.synced("one") == [2, 0, 0, 0]
    assert shared.synced("two") == [1, 0, 1, 0]
    (shared.one / "a.yml").unlink()
    # It removes the rule without regard to the claim, which this version's next look takes up.
    assert shared.synced_by_old("one") == [0, 1, 0, 1]
    assert "A" not in shared.loaded()
    shared.assert_taken_up()


def test_a_rejection_of_the_released_version_becomes_a_rule_once_its_id_is_free(
    shared: Shared,
) -> None:
    shared.synced_by_old("one")
    shared.synced_by_old("two")
    assert shared.rejected() == {"two": ["a.yml"]}
    (shared.one / "a.yml").unlink()
    shared.synced("one")
    shared.assert_taken_up()


def test_a_renamed_source_keeps_its_old_name_for_the_released_version(shared: Shared) -> None:
    (shared.one / "broken.yml").write_text("- nonsense\n")
    shared.synced_by_old("one")
    before = shared.loaded()
    assert renamed(shared.url, "one", "renamed") == (2, 1)
    assert shared.loaded() == before
    assert shared.rejected() == {"renamed": ["broken.yml"]}
    assert synced(shared.url, shared.one, "renamed") == [0, 0, 1, 2]
    assert shared.synced_by_old("one") == [0, 0, 1, 2]
    assert shared.loaded() == before
