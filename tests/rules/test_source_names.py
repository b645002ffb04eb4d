"""Renaming a source: its rules and rejections get another name, and nothing else changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest
from support.master import NEVER, fill, logged, ttp
from support.waiting import eventually

from eventstore import EventStore, InvalidInputError
from projections.rules import (
    RuleStore,
    RuleSync,
    SourceNameError,
    rename_source,
)
from projections.rules.standing_rules import StandingRules, read_rejections
from projections.rules.trim_policy import keep_rules

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio

FILES = {"a.yml": ttp("A"), "b.yml": ttp("B"), "bad.yml": "nonsense"}


@pytest.fixture
async def old(store: EventStore, root: Path) -> RuleSync:
    """Give the master of a source that was named by its path, after a first look."""
    master = RuleSync(store, fill(root, FILES))
    await master.sync_once()
    return master


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Give the same files elsewhere."""
    return fill(tmp_path / "elsewhere", FILES)


async def test_a_checkout_elsewhere_goes_on_after_a_rename(
    store: EventStore, root: Path, old: RuleSync, checkout: Path
) -> None:
    first = await RuleSync(store, checkout).sync_once()
    assert first.rejected == 3, "every rule belongs to the old name"
    assert await rename_source(store, str(root), str(checkout)) == (2, 1)
    before = (await store.head()).position
    report = await RuleSync(store, checkout).sync_once()
    assert (report.defined, report.removed, report.rejected, report.unchanged) == (0, 0, 1, 2)
    assert {event.type for event in (await logged(store))[before:]} == {"RejectionEnded"}
    (checkout / "a.yml").unlink()
    assert (await RuleSync(store, checkout).sync_once()).removed == 1


async def test_it_is_one_event_in_one_commit(store: EventStore, root: Path, old: RuleSync) -> None:
    before = (await store.head()).position
    await rename_source(store, str(root), "new", by="ana")
    (event,) = (await logged(store))[before:]
    assert (event.type, event.data, event.metadata) == (
        "SourceRenamed",
        {"source": str(root), "to": "new"},
        {"by": "ana"},
    )


async def test_names_may_be_given_in_a_circle(store: EventStore, root: Path, old: RuleSync) -> None:
    name = str(root)
    for there, here in ((name, "b"), ("b", "c"), ("c", name)):
        await rename_source(store, there, here)
    assert (await old.sync_once()).position is None
    assert list(await read_rejections(store)) == [name]


async def test_the_rules_stay_what_they_are(store: EventStore, root: Path, old: RuleSync) -> None:
    before = await RuleStore(store).load_compiled()
    await rename_source(store, str(root), "new")
    assert await RuleStore(store).load_compiled() == before


async def test_an_unknown_name_is_refused_with_those_that_are_known(
    store: EventStore, root: Path, old: RuleSync
) -> None:
    with pytest.raises(SourceNameError, match=f"no source 'x'; it has '{root}'"):
        await rename_source(store, "x", "y")


async def test_a_name_that_has_rules_is_refused(
    store: EventStore, root: Path, old: RuleSync, tmp_path: Path
) -> None:
    await RuleSync(store, fill(tmp_path / "c", {"c.yml": ttp("C")}), source="c").sync_once()
    with pytest.raises(SourceNameError, match="'c' has 1 rules already"):
        await rename_source(store, str(root), "c")


@pytest.mark.parametrize("new", ["", "same", "x" * 2000])
async def test_a_name_that_cannot_be_is_refused(store: EventStore, new: str) -> None:
    with pytest.raises(InvalidInputError):
        await rename_source(store, "same", new)


@pytest.mark.parametrize("followed", ["old", "new"])
async def test_a_source_with_a_master_is_not_renamed(
    store: EventStore, root: Path, old: RuleSync, followed: str
) -> None:
    name = str(root) if followed == "old" else "new"
    async with anyio.create_task_group() as tasks:
        master = RuleSync(store, root, source=name, rescan_seconds=NEVER)
        tasks.start_soon(master.run)

        async def owned() -> bool:
            return bool(master.owner)

        await eventually(owned)
        with pytest.raises(SourceNameError, match="is followed by"):
            await rename_source(store, str(root), "new")
        tasks.cancel_scope.cancel()
    assert await logged(store, "SourceRenamed") == []


async def test_a_trimmed_log_still_knows_the_name(
    store: EventStore, root: Path, old: RuleSync, tmp_path: Path
) -> None:
    await rename_source(store, str(root), "new")
    (root / "bad.yml").write_text(ttp("GOOD"))
    await RuleSync(store, root, source="new").sync_once()
    known = StandingRules("new")
    await known.refresh(store)
    await store.trim((await store.head()).position, keep=keep_rules, archive=tmp_path / "gone")
    fresh = StandingRules("new")
    await fresh.refresh(store)
    assert fresh.rules == known.rules
    assert fresh.rejections == known.rejections == {}
    assert (await RuleSync(store, root, source="new").sync_once()).position is None


async def test_a_redacted_rename_was_never_made(
    store: EventStore, root: Path, old: RuleSync
) -> None:
    await rename_source(store, str(root), "new")
    known = StandingRules("new")
    await known.refresh(store)
    assert {rule.source for rule in known.rules.values()} == {"new"}
    await store.redact((await store.head()).position, reason="test")
    await known.refresh(store)
    fresh = StandingRules("new")
    await fresh.refresh(store)
    assert fresh.rules == known.rules
    assert {rule.source for rule in known.rules.values()} == {str(root)}
