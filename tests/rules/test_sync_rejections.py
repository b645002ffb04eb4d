"""The master, one look at a time: files that are broken, and ids that two files claim."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.master import fill, rejected, standing, told, ttp

from projections.rules import RuleSync

if TYPE_CHECKING:
    from pathlib import Path

    from support.master import Sync

    from eventstore import EventStore


pytestmark = pytest.mark.anyio


@pytest.mark.promise("bad-input")
@pytest.mark.parametrize("broken", ["", "a: [", "rule_id: A\n", "\0"])
async def test_a_broken_file_keeps_the_last_good_rule(
    store: EventStore, root: Path, sync: Sync, broken: str
) -> None:
    fill(root, {"a.yml": ttp("A")})
    await sync()
    fill(root, {"a.yml": broken})
    report = await sync()
    assert (report.rejected, report.removed) == (1, 0)
    assert await standing(store) == {"A": ("a.yml", ttp("A"))}
    assert list(await rejected(store)) == ["a.yml"]


async def test_a_rejection_is_recorded_once(store: EventStore, root: Path, sync: Sync) -> None:
    fill(root, {"a.yml": "["})
    for _ in range(3):
        assert (await sync()).rejected == 1
    assert await told(store) == [("RuleRejected", "a.yml")]


async def test_a_file_broken_in_another_way_is_rejected_anew(
    store: EventStore, root: Path, sync: Sync
) -> None:
    fill(root, {"a.yml": "["})
    await sync()
    fill(root, {"a.yml": "rule_id: A\n"})
    await sync()
    assert await told(store) == [("RuleRejected", "a.yml")] * 2


@pytest.mark.promise("bad-input")
async def test_one_bad_file_stops_none_of_the_good_ones(
    store: EventStore, root: Path, sync: Sync
) -> None:
    fill(root, {"a.yml": "[", "b.yml": ttp("B"), "c.yml": "\0", "d.yml": ttp("D")})
    assert (await sync()).defined == 2
    assert list(await standing(store)) == ["B", "D"]


async def test_a_fixed_file_ends_its_rejection(store: EventStore, root: Path, sync: Sync) -> None:
    fill(root, {"a.yml": "["})
    await sync()
    fill(root, {"a.yml": ttp("A")})
    await sync()
    assert await told(store, after=1) == [("RuleDefined", "A"), ("RejectionEnded", "a.yml")]
    assert await rejected(store) == {}


async def test_a_file_fixed_to_what_it_was_is_not_defined_again(
    store: EventStore, root: Path, sync: Sync
) -> None:
    for text in (ttp("A"), "[", ttp("A")):
        fill(root, {"a.yml": text})
        await sync()
    assert [type_ for type_, _ in await told(store)] == [
        "RuleDefined",
        "RuleRejected",
        "RejectionEnded",
    ]


async def test_deleting_a_rejected_file_ends_its_rejection(
    store: EventStore, root: Path, sync: Sync
) -> None:
    fill(root, {"a.yml": "[", "b.yml": ttp("B")})
    await sync()
    (root / "a.yml").unlink()
    await sync()
    assert await rejected(store) == {}


async def test_deleting_a_broken_file_removes_its_last_good_rule(
    store: EventStore, root: Path, sync: Sync
) -> None:
    fill(root, {"a.yml": ttp("A"), "b.yml": ttp("B")})
    await sync()
    fill(root, {"a.yml": ""})
    await sync()
    (root / "a.yml").unlink()
    assert (await sync()).removed == 1
    assert list(await standing(store)) == ["B"]
    assert await rejected(store) == {}


async def test_an_id_changed_inside_a_file_removes_the_old_id(
    store: EventStore, root: Path, sync: Sync
) -> None:
    fill(root, {"a.yml": ttp("A")})
    await sync()
    fill(root, {"a.yml": ttp("B")})
    await sync()
    assert await told(store, after=1) == [("RuleRemoved", "A"), ("RuleDefined", "B")]


async def test_a_second_file_with_the_same_id_is_rejected_naming_both(
    store: EventStore, root: Path, sync: Sync
) -> None:
    fill(root, {"b.yml": ttp("A")})
    await sync()
    fill(root, {"a.yml": ttp("A", "other")})
    report = await sync()
    assert (report.unchanged, report.rejected, report.defined) == (1, 1, 0)
    ((path, reason),) = (await rejected(store)).items()
    assert path == "a.yml"
    assert "'A'" in reason
    assert "b.yml" in reason


async def test_a_second_claim_is_judged_again_when_the_first_goes(
    store: EventStore, root: Path, sync: Sync
) -> None:
    fill(root, {"a.yml": ttp("A"), "b.yml": ttp("A", "other")})
    await sync()
    (root / "a.yml").unlink()
    report = await sync()
    assert (report.defined, report.removed, report.rejected) == (1, 0, 0)
    assert await standing(store) == {"A": ("b.yml", ttp("A", "other"))}
    assert await rejected(store) == {}


async def test_two_files_may_swap_their_ids(store: EventStore, root: Path, sync: Sync) -> None:
    fill(root, {"a.yml": ttp("A"), "b.yml": ttp("B")})
    await sync()
    fill(root, {"a.yml": ttp("B"), "b.yml": ttp("A")})
    report = await sync()
    assert (report.defined, report.removed, report.rejected) == (2, 0, 0)
    assert await standing(store) == {"A": ("b.yml", ttp("A")), "B": ("a.yml", ttp("B"))}
    assert (await sync()).position is None


async def test_an_id_that_another_source_owns_is_refused(store: EventStore, tmp_path: Path) -> None:
    one, two = fill(tmp_path / "1", {"a.yml": ttp("A")}), fill(tmp_path / "2", {"b.yml": ttp("A")})
    await RuleSync(store, one, source="one").sync_once()
    report = await RuleSync(store, two, source="two").sync_once()
    assert (report.defined, report.rejected) == (0, 1)
    assert "source 'one'" in (await rejected(store))["b.yml"]
    assert await standing(store) == {"A": ("a.yml", ttp("A"))}


async def test_two_sources_do_not_delete_each_others_rules(
    store: EventStore, tmp_path: Path
) -> None:
    roots = [fill(tmp_path / n, {f"{n}.yml": ttp(n)}) for n in ("A", "B")]
    for root in roots * 2:
        assert (await RuleSync(store, root).sync_once()).removed == 0
    assert list(await standing(store)) == ["A", "B"]
