"""Names and links that a scan refuses: what the master says of them in the log."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.master import fill, rejected, standing, ttp

from projections.rules import RuleSync, SourceError

if TYPE_CHECKING:
    from eventstore import EventStore

pytestmark = pytest.mark.anyio


def non_utf8(root: Path) -> None:
    Path(os.fsdecode(os.fsencode(root) + b"/\xff.yml")).write_text(ttp("BAD"))


async def test_a_name_that_is_not_utf8_is_a_rejection_in_a_raw_tree(
    store: EventStore, root: Path
) -> None:
    non_utf8(root)
    fill(root, {"good.txt": "good"})
    report = await RuleSync(store, root, format="raw").sync_once()
    assert (report.defined, report.rejected) == (1, 1)
    assert await rejected(store) == {"\\udcff.yml": "its name is not UTF-8: rename it"}
    assert (await RuleSync(store, root, format="raw").sync_once()).position is None


async def test_a_folder_whose_name_is_not_utf8_is_a_rejection_of_its_rules(
    store: EventStore, root: Path
) -> None:
    fill(Path(os.fsdecode(os.fsencode(root) + b"/\xff")), {"a.yml": ttp("A")})
    fill(root, {"b.yml": ttp("B")})
    report = await RuleSync(store, root).sync_once()
    assert (report.defined, report.rejected) == (1, 1)
    assert list(await rejected(store)) == ["\\udcff/a.yml"]


async def test_a_name_with_another_ending_is_ignored_however_strange(
    store: EventStore, root: Path
) -> None:
    Path(os.fsdecode(os.fsencode(root) + b"/\xff.md")).write_text("")
    report = await RuleSync(store, root).sync_once()
    assert (report.rejected, report.ignored) == (0, 1)


async def test_a_projected_folder_whose_name_is_not_utf8_is_refused_in_words(
    store: EventStore, root: Path
) -> None:
    fill(Path(os.fsdecode(os.fsencode(root) + b"/\xff")), {".eventstore.json": "{}"})
    with pytest.raises(SourceError) as caught:
        await RuleSync(store, root).sync_once()
    str(caught.value).encode()


@pytest.mark.parametrize("target", ["missing.yml", "a.yml", "../outside.yml"])
async def test_a_rule_replaced_by_a_bad_link_stays(
    store: EventStore, root: Path, tmp_path: Path, target: str
) -> None:
    (tmp_path / "outside.yml").write_text(ttp("A", "outside"))
    fill(root, {"a.yml": ttp("A")})
    await RuleSync(store, root).sync_once()
    (root / "a.yml").unlink()
    (root / "a.yml").symlink_to(target)
    report = await RuleSync(store, root).sync_once()
    assert (report.rejected, report.removed) == (1, 0)
    assert await standing(store) == {"A": ("a.yml", ttp("A"))}
