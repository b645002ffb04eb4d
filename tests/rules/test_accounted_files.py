"""Every file of a source is defined, unchanged, rejected or ignored; and what stands is kept."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any

import pytest
from support.master import fill, following, lock_folder, logged, marked, rejected, standing, ttp

from projections.rules import RuleSync, SourceError, SyncReport

if TYPE_CHECKING:
    from pathlib import Path

    from eventstore import EventStore

pytestmark = pytest.mark.anyio

FIVE = {f"r{number}.yml": ttp(f"R{number}") for number in range(5)}


async def sync(store: EventStore, root: Path, **settings: Any) -> SyncReport:
    return await RuleSync(store, root, source="test", **settings).sync_once()


def counts(report: SyncReport) -> tuple[int, int, int, int, int]:
    return report.defined, report.removed, report.rejected, report.unchanged, report.ignored


@pytest.mark.promise("bad-input")
async def test_each_file_of_a_source_is_in_exactly_one_count(store: EventStore, root: Path) -> None:
    names = ["ssh-password-guessing.yml", "My rule.yml", "a (1).YAML", "Übung.yml", "+x.yml"]
    fill(root, {name: ttp(f"R{index}") for index, name in enumerate(names)})
    fill(root, {"bad.yml": "[", "tab\t.yml": ttp("T"), "README.md": "", "x.yml~": "", ".git/x": ""})
    report = await sync(store, root)
    assert counts(report) == (5, 0, 2, 0, 3)
    assert counts(await sync(store, root)) == (0, 0, 2, 5, 3)
    assert {path for path, _ in (await standing(store)).values()} == set(names)
    assert (await rejected(store))["tab\\t.yml"] == (
        "its name contains a control character: rename it"
    )


async def test_a_pattern_of_the_users_own_says_what_is_ignored(
    store: EventStore, root: Path
) -> None:

    fill(root, {"a.rule": ttp("A"), "b.yml": ttp("B"), "c.rule~": ttp("C")})
    master = RuleSync(store, root, filename=re.compile(r".*\.rule~?"))
    assert counts(await master.sync_once()) == (1, 0, 0, 0, 2)
    assert dict(master.ignored) == {
        "b.yml": "does not match the pattern of the source",
        "c.rule~": "is a backup",
    }


@pytest.mark.parametrize("new", ["b\x07.yml", "line\nbreak.yml", "\udcff.yml"])
@pytest.mark.parametrize("kind", ["ttp", "raw"])
async def test_a_rule_whose_file_gets_a_name_that_is_rejected_stays(
    store: EventStore, root: Path, kind: str, new: str
) -> None:
    fill(root, {"a.yml": ttp("A"), "other.yml": ttp("B")})
    await sync(store, root, format=kind)
    (root / "a.yml").rename(root / new)
    report = await sync(store, root, format=kind)
    assert counts(report) == (0, 0, 1, 1, 0)
    assert len(await standing(store)) == 2
    (root / new).unlink()
    assert counts(await sync(store, root, format=kind)) == (0, 1, 0, 1, 0)


async def test_a_rule_that_is_edited_and_renamed_to_a_rejected_name_stays(
    store: EventStore, root: Path
) -> None:
    fill(root, {"a.yml": ttp("A"), "other.yml": ttp("B")})
    await sync(store, root)
    (root / "a.yml").unlink()
    fill(root, {"b\x07.yml": ttp("A", "second")})
    assert counts(await sync(store, root)) == (0, 0, 1, 1, 0)
    assert (await standing(store))["A"] == ("a.yml", ttp("A"))


@pytest.mark.parametrize("new", ["a.yml.bak", ".a.yml", "a.txt", "sub/a.yml.dpkg-old"])
async def test_a_rule_whose_file_gets_a_name_that_is_ignored_is_removed_and_said_so(
    store: EventStore, root: Path, new: str, caplog: pytest.LogCaptureFixture
) -> None:
    fill(root, {"a.yml": ttp("A"), "other.yml": ttp("B"), "sub/c.yml": ttp("C")})
    await sync(store, root)
    (root / "a.yml").rename(root / new)
    with caplog.at_level(logging.WARNING):
        assert counts(await sync(store, root)) == (0, 1, 0, 2, 1)
    assert f"rule 'A' is removed: its file {new!r} " in caplog.text


@pytest.mark.promise("bad-input")
async def test_what_never_was_a_rule_does_not_speak_for_those_that_stand(
    store: EventStore, root: Path
) -> None:
    fill(root, FIVE | {"mkdocs.yml": "site_name: x\n", "README.md": ""})
    assert counts(await sync(store, root)) == (5, 0, 1, 0, 1)
    for name in FIVE:
        (root / name).unlink()
    with pytest.raises(SourceError, match=r"5 stand in the log; they stay.*--allow-empty"):
        await sync(store, root)
    assert len(await standing(store)) == 5
    assert counts(await sync(store, root, allow_empty=True)) == (0, 5, 1, 0, 1)


async def test_a_rejected_file_whose_rule_stands_lets_the_others_go(
    store: EventStore, root: Path
) -> None:
    fill(root, FIVE)
    await sync(store, root)
    for name in list(FIVE)[1:]:
        (root / name).unlink()
    fill(root, {"r0.yml": "["})
    assert counts(await sync(store, root)) == (0, 4, 1, 0, 0)


@pytest.mark.promise("bad-input")
async def test_a_volume_that_is_unmounted_below_the_root_keeps_its_rules(
    store: EventStore, root: Path
) -> None:
    fill(root, {"a.yml": ttp("A"), "vol/b.yml": ttp("B"), "vol/sub/c.yml": ttp("C")})
    await sync(store, root)
    (root / "vol").rename(root.parent / "elsewhere")
    (root / "vol").mkdir()
    fill(root, {"a.yml": ttp("A", "second")})
    assert counts(await sync(store, root)) == (1, 0, 1, 0, 0)
    assert set(await standing(store)) == {"A", "B", "C"}
    assert "2 rules stand from it; they stay" in (await rejected(store))["vol"]
    (root / "vol").rmdir()
    (root.parent / "elsewhere").rename(root / "vol")
    assert counts(await sync(store, root)) == (0, 0, 0, 3, 0)
    assert await rejected(store) == {}


async def test_an_empty_folder_may_take_its_rules_along_where_that_is_allowed(
    store: EventStore, root: Path
) -> None:
    fill(root, {"a.yml": ttp("A"), "vol/b.yml": ttp("B"), "vol/c.yml": ttp("C")})
    await sync(store, root)
    (root / "vol" / "b.yml").unlink()
    (root / "vol" / "c.yml").unlink()
    assert counts(await sync(store, root, allow_empty=True)) == (0, 2, 0, 1, 0)


async def test_one_rule_may_leave_its_folder_empty(store: EventStore, root: Path) -> None:
    fill(root, {"a.yml": ttp("A"), "vol/b.yml": ttp("B")})
    await sync(store, root)
    (root / "vol" / "b.yml").unlink()
    assert counts(await sync(store, root)) == (0, 1, 0, 1, 0)


@pytest.mark.parametrize("kind", ["ttp", "raw"])
async def test_rules_that_move_out_of_a_folder_are_not_lost_with_it(
    store: EventStore, root: Path, kind: str
) -> None:
    fill(root, {"a.yml": ttp("A"), "old/b.yml": ttp("B"), "old/c.yml": ttp("C")})
    await sync(store, root, format=kind)
    (root / "new").mkdir()
    for name in ("b.yml", "c.yml"):
        (root / "old" / name).rename(root / "new" / name)
    report = await sync(store, root, format=kind)
    assert (report.defined, report.rejected, report.unchanged) == (2, 0, 1)
    assert len(await standing(store)) == 3


@pytest.mark.promise("bad-input")
async def test_a_folder_that_cannot_be_read_holds_its_rules_and_stops_nothing_else(
    store: EventStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(root, {"a.yml": ttp("A"), "locked/b.yml": ttp("B"), "locked/c/d.yml": ttp("D")})
    await sync(store, root)
    lock_folder(monkeypatch)
    (root / "a.yml").unlink()
    fill(root, {"e.yml": ttp("E")})
    assert counts(await sync(store, root)) == (1, 1, 1, 0, 0)
    assert set(await standing(store)) == {"B", "D", "E"}
    assert await rejected(store) == {"locked": "cannot be listed: Permission denied"}


@pytest.mark.parametrize("target", ["../outside", "nowhere"])
async def test_what_stood_below_a_link_stays_once_it_leads_out_or_nowhere(
    store: EventStore, root: Path, tmp_path: Path, target: str
) -> None:
    fill(root, {"..1/a.yml": ttp("A"), "..1/b/c.yml": ttp("C"), "d.yml": ttp("D")})
    fill(tmp_path, {"outside/a.yml": ttp("A", "outside")})
    (root / "windows").symlink_to("..1")
    assert counts(await sync(store, root)) == (3, 0, 0, 0, 0)
    (root / "windows").unlink()
    (root / "windows").symlink_to(target)
    report = await sync(store, root)
    assert (report.removed, report.rejected, report.unchanged) == (0, 1, 1)
    assert (await standing(store))["A"] == ("windows/a.yml", ttp("A"))
    assert list(await rejected(store)) == ["windows"]


async def test_a_swap_of_a_link_is_one_commit(store: EventStore, root: Path) -> None:
    for version in ("..1", "..2"):
        fill(root, {f"{version}/w/r{n}.yml": ttp(f"R{n}", version) for n in range(20)})
        fill(root, {f"{version}/l/s{n}.yml": ttp(f"S{n}", version) for n in range(20)})
    (root / "..data").symlink_to("..1")
    (root / "w").symlink_to("..data/w")
    (root / "l").symlink_to("..data/l")
    async with following(store, root):
        before = (await store.head()).position
        (root / "..data_tmp").symlink_to("..2")
        (root / "..data_tmp").rename(root / "..data")
        await marked(store, root)
    swapped = [event for event in await logged(store, "RuleDefined") if event.position > before]
    assert len(swapped) == 41
    assert len({event.commit for event in swapped[:40]}) == 1
    assert await logged(store, "RuleRemoved") == []
