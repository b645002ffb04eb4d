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


@pytest.fixture(params=release_names())
def old(request: pytest.FixtureRequest, running: dict[str, Version]) -> Version:
    """Give a process of each released version."""
    return running[request.param]


@pytest.fixture
def directories(tmp_path: Path) -> tuple[Path, Path]:
    """Make two directories that both define the rule A."""
    one = fill(tmp_path / "one", {"a.yml": ttp("A", "of one"), "b.yml": ttp("B")})
    return one, fill(tmp_path / "two", {"a.yml": ttp("A", "of two"), "c.yml": ttp("C")})


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


def loaded(old: Version, running: dict[str, Version], url: str) -> dict[str, Any]:
    """Return the rules that both versions load, which are the same."""
    found = old.call("rules", url=url)
    assert found == running["this version"].call("rules", url=url)
    return dict(found)


def test_a_claim_that_this_version_fulfils_is_a_definition_for_the_released_one(
    old: Version, running: dict[str, Version], url: str, directories: tuple[Path, Path]
) -> None:
    one, two = directories
    assert synced(url, one, "one") == [2, 0, 0, 0]
    assert synced(url, two, "two") == [1, 0, 1, 0]
    assert loaded(old, running, url)["A"]["name"] == "of one"
    (one / "a.yml").unlink()
    synced(url, one, "one")
    assert loaded(old, running, url)["A"]["name"] == "of two"
    assert rejected(url) == {}
    for source, directory, count in (("one", one, 1), ("two", two, 2)):
        where = {"url": url, "directory": str(directory), "source": source}
        assert old.call("sync", **where) == [0, 0, 0, count]
        assert synced(url, directory, source) == [0, 0, 0, count]


def test_a_claim_that_the_released_version_passes_over_is_taken_up_later(
    old: Version, running: dict[str, Version], url: str, directories: tuple[Path, Path]
) -> None:
    one, two = directories
    assert synced(url, one, "one") == [2, 0, 0, 0]
    assert synced(url, two, "two") == [1, 0, 1, 0]
    (one / "a.yml").unlink()
    # It removes the rule without regard to the claim, which this version's next look takes up.
    assert old.call("sync", url=url, directory=str(one), source="one") == [0, 1, 0, 1]
    assert "A" not in loaded(old, running, url)
    assert synced(url, two, "two") == [1, 0, 0, 1]
    assert loaded(old, running, url)["A"]["name"] == "of two"


def test_a_rejection_of_the_released_version_becomes_a_rule_once_its_id_is_free(
    old: Version, running: dict[str, Version], url: str, directories: tuple[Path, Path]
) -> None:
    one, two = directories
    for source, directory in (("one", one), ("two", two)):
        old.call("sync", url=url, directory=str(directory), source=source)
    assert rejected(url) == {"two": ["a.yml"]}
    (one / "a.yml").unlink()
    synced(url, one, "one")
    assert synced(url, two, "two") == [1, 0, 0, 1]
    assert loaded(old, running, url)["A"]["name"] == "of two"


def test_a_renamed_source_keeps_its_old_name_for_the_released_version(
    old: Version, running: dict[str, Version], url: str, directories: tuple[Path, Path]
) -> None:
    one, _ = directories
    (one / "broken.yml").write_text("- nonsense\n")
    old.call("sync", url=url, directory=str(one), source="one")
    before = loaded(old, running, url)
    assert renamed(url, "one", "renamed") == (2, 1)
    assert loaded(old, running, url) == before
    assert rejected(url) == {"renamed": ["broken.yml"]}
    assert synced(url, one, "renamed") == [0, 0, 1, 2]
    assert old.call("sync", url=url, directory=str(one), source="one") == [0, 0, 1, 2]
    assert loaded(old, running, url) == before
