"""A rule whose file moves from one source to another of the same log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest
from support.master import NEVER, QUICK, fill, logged, rejected, standing, told, ttp
from support.waiting import eventually

from projections.rules import RuleStore, RuleSync, sync_together
from projections.rules.sources import _directory_look

if TYPE_CHECKING:
    from pathlib import Path

    from eventstore import EventStore

pytestmark = pytest.mark.anyio


@pytest.fixture
def a(tmp_path: Path) -> Path:
    return fill(tmp_path / "a", {"x.yml": ttp("X"), "y.yml": ttp("Y")})


@pytest.fixture
def b(tmp_path: Path) -> Path:
    return fill(tmp_path / "b", {"z.yml": ttp("Z")})


def master(store: EventStore, root: Path, **settings: Any) -> RuleSync:
    with_defaults: dict[str, Any] = {"source": root.name, "debounce": QUICK}
    return RuleSync(store, root, **with_defaults | settings)


async def both(store: EventStore, a: Path, b: Path) -> int:
    """Look at both directories once; return the head's position."""
    await master(store, a).sync_once()
    await master(store, b).sync_once()
    return (await store.head()).position


async def sources(store: EventStore) -> dict[str, str]:
    """Return the source of each rule that stands, as the log's definitions say."""
    return {
        event.data["rule_id"]: event.data["source"]
        for event in await logged(store, "RuleDefined")
        if event.data["rule_id"] in await standing(store)
    }


@pytest.mark.promise("sources")
async def test_the_new_place_looked_at_first_claims_and_the_old_one_hands_over(
    store: EventStore, a: Path, b: Path
) -> None:
    before = await both(store, a, b)
    (a / "x.yml").rename(b / "moved.yml")
    assert (await master(store, b).sync_once()).rejected == 1
    assert (await standing(store))["X"] == ("x.yml", ttp("X"))
    await master(store, a).sync_once()
    assert await told(store, before) == [
        ("RuleRejected", "moved.yml"),
        ("RuleDefined", "X"),
        ("RejectionEnded", "moved.yml"),
    ]
    events = (await logged(store))[-2:]
    assert len({event.commit for event in events}) == 1
    assert events[0].data["previous_path"] == "x.yml"
    assert await sources(store) == {"X": "b", "Y": "a", "Z": "b"}
    for root in (a, b):
        assert (await master(store, root).sync_once()).position is None
    assert {rule.rule_id for rule in await RuleStore(store).load_compiled()} == {"X", "Y", "Z"}


async def test_a_claim_hands_over_what_its_file_says_by_then(
    store: EventStore, a: Path, b: Path
) -> None:
    await both(store, a, b)
    for name in ("second", "third"):
        fill(b, {"moved.yml": ttp("X", name)})
        await master(store, b).sync_once()
    (a / "x.yml").unlink()
    await master(store, a).sync_once()
    assert (await standing(store))["X"] == ("moved.yml", ttp("X", "third"))


async def test_a_claim_that_was_given_up_takes_nothing(store: EventStore, a: Path, b: Path) -> None:
    await both(store, a, b)
    fill(b, {"moved.yml": ttp("X")})
    await master(store, b).sync_once()
    (b / "moved.yml").unlink()
    await master(store, b).sync_once()
    (a / "x.yml").unlink()
    assert (await master(store, a).sync_once()).removed == 1
    assert await rejected(store) == {}


async def test_the_first_of_several_claims_is_the_one_that_counts(
    store: EventStore, a: Path, b: Path, tmp_path: Path
) -> None:
    await both(store, a, b)
    c = fill(tmp_path / "c", {"c.yml": ttp("X", "from c")})
    await master(store, c).sync_once()
    fill(b, {"b.yml": ttp("X", "from b")})
    await master(store, b).sync_once()
    (a / "x.yml").unlink()
    await master(store, a).sync_once()
    assert (await standing(store))["X"] == ("c.yml", ttp("X", "from c"))
    await master(store, b).sync_once()
    assert "source 'c'" in (await rejected(store))["b.yml"]


async def test_an_id_that_leaves_its_file_is_handed_over_too(
    store: EventStore, a: Path, b: Path
) -> None:
    await both(store, a, b)
    fill(b, {"moved.yml": ttp("X", "second")})
    await master(store, b).sync_once()
    fill(a, {"x.yml": ttp("OTHER")})
    await master(store, a).sync_once()
    assert await logged(store, "RuleRemoved") == []
    assert (await standing(store))["X"] == ("moved.yml", ttp("X", "second"))


async def test_the_old_place_looked_at_first_removes_until_the_new_one_is_looked_at(
    store: EventStore, a: Path, b: Path
) -> None:
    before = await both(store, a, b)
    (a / "x.yml").rename(b / "moved.yml")
    await master(store, a).sync_once()
    await master(store, b).sync_once()
    assert await told(store, before) == [("RuleRemoved", "X"), ("RuleDefined", "X")]


@pytest.mark.promise("sources")
@pytest.mark.parametrize("order", ["ab", "ba"])
async def test_directories_that_are_looked_at_together_are_one_commit(
    store: EventStore, a: Path, b: Path, order: str
) -> None:
    before = await both(store, a, b)
    (a / "x.yml").rename(b / "x.yml")
    (b / "z.yml").rename(a / "z.yml")
    roots = {"a": a, "b": b}
    reports = await sync_together([master(store, roots[name]) for name in order])
    assert [(one.defined, one.removed, one.rejected) for one in reports] == [(1, 0, 0)] * 2
    events = (await logged(store))[before:]
    assert sorted(await told(store, before)) == [("RuleDefined", "X"), ("RuleDefined", "Z")]
    assert len({event.commit for event in events}) == 1
    assert await sources(store) == {"X": "b", "Y": "a", "Z": "a"}


async def test_a_recorded_claim_is_ended_by_a_look_at_both(
    store: EventStore, a: Path, b: Path
) -> None:
    await both(store, a, b)
    (a / "x.yml").rename(b / "x.yml")
    await master(store, b).sync_once()
    await sync_together([master(store, a), master(store, b)])
    assert await rejected(store) == {}
    assert await logged(store, "RuleRemoved") == []


@pytest.mark.slow
@pytest.mark.promise("sources")
async def test_two_masters_hand_over_without_a_gap(
    store: EventStore, a: Path, b: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Four times as long as in use: a busy machine must not make the other master late.
    monkeypatch.setattr(_directory_look, "HANDOVER_SECONDS", 2.0)
    before = await both(store, a, b)
    async with anyio.create_task_group() as tasks:
        masters = [master(store, root, rescan_seconds=NEVER) for root in (a, b)]
        for one in masters:
            tasks.start_soon(one.run)

        async def owned() -> bool:
            return all(one.owner for one in masters)

        await eventually(owned)
        for there, here in ((a, b), (b, a), (a, b)):
            (there / "x.yml").rename(here / "x.yml")

            async def arrived(name: str = here.name) -> bool:
                return (await sources(store)).get("X") == name

            await eventually(arrived)
        tasks.cancel_scope.cancel()
    assert [kind for kind, _ in await told(store, before) if kind == "RuleRemoved"] == []
