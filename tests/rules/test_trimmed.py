"""Trimming loses no rule: views computed from what was kept are those from before."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples
from support.master import fill, told, ttp
from support.moving import redact
from support.rule_log import files_below
from support.waiting import eventually, take

from eventstore import Event, EventStore, HistoryGoneError, NewEvent, StreamWrite
from projections import DirectoryProjection, ProjectionRunner
from projections.directory.manifest import MANIFEST, decode
from projections.rules import CompiledRule, RuleState, RuleStore, RuleSync, RuleTables
from projections.rules.expiry import StateExpiry
from projections.rules.model import encode_rule
from projections.rules.rule_files import rule_file
from projections.rules.standing_rules import StandingRules
from projections.rules.trim_policy import keep_rules
from rules.test_tables import DEFINITIONS, REJECTIONS, STATES, STRANGE, rows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from projections import Projection
    from projections.directory import FileChange


def without_content(data: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if key not in {"content", "base64"}}


PATHS = st.sampled_from(["a", "b", "a/b", "a/b/c", "b/c", "c", "../x", None, 7])
FILES = st.builds(
    lambda data, path, content: {**without_content(data), "path": path, **content},
    DEFINITIONS,
    PATHS,
    st.sampled_from([{"content": ""}, {"content": "1"}, {"base64": "/w=="}, {"base64": "?"}, {}]),
)


def event(category: str, types: list[str], data: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.tuples(
        st.sampled_from([category + key for key in "ABCD"]), st.sampled_from(types), data
    )


DEFINED = ["RuleDefined"] * 4 + ["RuleRemoved", "Other"]
EVENTS = st.one_of(
    event("rule/", DEFINED, FILES),
    event("rule/", DEFINED, FILES),
    event("rule/", DEFINED, FILES | STRANGE),
    event("rule-state/", ["RuleStateSet", "RuleStateExpired", "Other"], STATES | STRANGE),
    event("source/", ["RuleRejected", "RuleRejected", "RejectionEnded"], REJECTIONS | STRANGE),
    event("other/", ["RuleDefined", "RuleStateSet", "RuleRejected"], FILES | STATES),
)
COMMITS = st.lists(st.lists(EVENTS, min_size=1, max_size=4), min_size=1, max_size=14)


async def write(store: EventStore, commits: Iterable[list[Any]]) -> None:
    for commit in commits:
        streams: dict[str, list[NewEvent]] = {}
        for stream, type_, data in commit:
            streams.setdefault(stream, []).append(NewEvent(type_, data))
        await store.append_many([StreamWrite(stream, new) for stream, new in streams.items()])


class Views:
    """Every view of rules that a log at ``folder`` has, under one name."""

    def __init__(self, folder: Path, store: EventStore, name: str) -> None:
        self.tree, self.tables = folder / name, folder / f"{name}.db"
        self._store = store
        self._runners = [
            ProjectionRunner(store, DirectoryProjection(self.tree, fsync=False)),
            ProjectionRunner(store, RuleTables().at(f"sqlite:///{self.tables}")),
        ]

    async def catch_up(self) -> None:
        for runner in self._runners:
            await runner.catch_up()

    async def rebuild(self) -> None:
        for runner in self._runners:
            await runner.rebuild()

    async def shown(self) -> dict[str, Any]:
        """Return all that is to be seen, also by a rule store and by a master."""
        rules, known = RuleStore(self._store), StandingRules("A")
        await known.refresh(self._store)
        loaded = await rules.load_compiled()
        return {
            "files": files_below(self.tree),
            "manifest": (self.tree / MANIFEST).read_bytes(),
            "tables": rows(f"sqlite:///{self.tables}"),
            "loaded": [(encode_rule(rule), rule.state) for rule in loaded],
            "states": [await rules.get_state(key) for key in "ABCD"],
            "known": (known.rules, known.rejections),
        }


async def compare(folder: Path, commits: list[list[Any]], redacted: int, cuts: list[float]) -> None:
    url = f"sqlite:///{folder}/log.db"
    share = len(commits) // (len(cuts) + 1) + 1
    parts = [commits[start : start + share] for start in range(0, len(commits), share)]
    async with EventStore.open(url) as store:
        live = Views(folder, store, "live")
        for number, part in enumerate(parts):
            await write(store, part)
            if number == 0 and redacted <= (await store.head()).position:
                redact(url, redacted)
            await live.catch_up()
            expected = await live.shown()
            if number < len(cuts):
                head = await store.head()
                await store.trim(1 + round(cuts[number] * head.position), keep=keep_rules)
            await live.catch_up()
            now = await live.shown()
            assert {k: v for k, v in now.items() if k != "manifest"} == {
                k: v for k, v in expected.items() if k != "manifest"
            }
            fresh = Views(folder, store, f"fresh{number}")
            await fresh.catch_up()
            assert await fresh.shown() == now
            await fresh.rebuild()
            assert await fresh.shown() == now


@pytest.mark.slow
@pytest.mark.promise("moving")
@settings(max_examples=examples(25), deadline=None)
@given(
    commits=COMMITS,
    redacted=st.integers(1, 60),
    cuts=st.lists(st.floats(0.3, 1), min_size=1, max_size=3),
)
def test_views_from_what_was_kept_are_the_views_from_before(
    commits: list[list[Any]], redacted: int, cuts: list[float]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        anyio.run(compare, Path(folder), commits, redacted, cuts)


@pytest.mark.anyio
async def test_an_inline_view_is_computed_again_from_what_was_kept(tmp_path: Path) -> None:
    root = fill(tmp_path / "rules", {f"{key}.yml": ttp(key) for key in "ABC"})
    log = tmp_path / "log.db"
    url = f"sqlite:///{log}"
    async with EventStore.open(url, inline=[RuleTables()]) as store:
        await RuleSync(store, root, source="s").sync_once()
    async with EventStore.open(url) as store:  # It does not know the view.
        (root / "A.yml").unlink()
        await RuleSync(store, root, source="s").sync_once()
        await store.trim(99, keep=keep_rules)
    async with EventStore.open(url, inline=[RuleTables()]) as store:
        assert [row["rule_id"] for row in rows(url)["rule"]] == ["B", "C"]
        await RuleStore(store).set_state("B", RuleState("disabled"), "ana")
        assert [row["rule_id"] for row in rows(url)["rule_state"]] == ["B"]


def other_files(event: Event) -> FileChange | None:
    """Say what rules say, as a user's function whose needs the trim policy does not know."""
    return rule_file(event)


class Counted(RuleTables):
    """A view that cannot begin with a snapshot: it counts events."""

    name = "counted"
    from_snapshot = False


@pytest.mark.anyio
async def test_a_view_that_needs_every_event_names_the_archive_instead(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/log.db"
    async with EventStore.open(url) as store:
        await RuleStore(store).set_state("A", RuleState("disabled"), "ana")
        await store.trim(99, keep=keep_rules)
        views: list[Projection] = [
            Counted().at(f"sqlite:///{tmp_path}/views.db"),
            DirectoryProjection(tmp_path / "other", files=other_files),
        ]
        for view in views:
            for work in (ProjectionRunner(store, view).catch_up,
                         ProjectionRunner(store, view).rebuild):  # fmt: skip
                with pytest.raises(HistoryGoneError, match=r"archive.*log/trims"):
                    await work()
        with pytest.raises(HistoryGoneError, match="as of 0"):
            await ProjectionRunner(store, DirectoryProjection(tmp_path / "d")).catch_up(until=0)
    with pytest.raises(HistoryGoneError, match="archive"):
        async with EventStore.open(url, inline=[Counted()]):
            pass


async def edit(store: EventStore, root: Path, **rules: str | None) -> None:
    """Save rules, or remove those that are None, and sync."""
    for key, name in rules.items():
        if name is None:
            (root / f"{key}.yml").unlink()
        else:
            fill(root, {f"{key}.yml": ttp(key, name)})
    await RuleSync(store, root, source="s").sync_once()


@pytest.mark.anyio
async def test_a_directory_that_slept_through_the_trim_loses_the_removed_rule(
    tmp_path: Path,
) -> None:
    async with EventStore.open(f"sqlite:///{tmp_path}/log.db") as store:
        root, live = tmp_path / "rules", tmp_path / "live"
        await edit(store, root, A="one", B="one", C="one")
        runner = ProjectionRunner(store, DirectoryProjection(live))
        await runner.catch_up()
        await edit(store, root, A=None, B="two")
        await store.trim(99, keep=keep_rules)
        await runner.catch_up()
        assert files_below(live) == {"B.yml": ttp("B", "two").encode(), "C.yml": ttp("C").encode()
                                     .replace(b"first", b"one")}  # fmt: skip
        (live / "C.yml").unlink()  # Healing finds the definition among what was kept.
        await runner.catch_up()
        assert (live / "C.yml").exists()


@pytest.mark.anyio
async def test_a_directory_that_is_followed_sees_a_trim_beyond_it(tmp_path: Path) -> None:
    async with EventStore.open(f"sqlite:///{tmp_path}/log.db") as store:
        root, live = tmp_path / "rules", tmp_path / "live"
        await edit(store, root, A="one")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ProjectionRunner(store, DirectoryProjection(live)).run)

            async def reached() -> bool:
                # What is published: a view that is computed again is not, until it is complete.
                manifest = live / MANIFEST
                at = decode(manifest.read_bytes(), "test").position if manifest.exists() else 0
                return at == (await store.head()).position

            await eventually(reached)
            for round_ in range(3):
                await edit(store, root, A=f"n{round_}", B=f"n{round_}")
                await edit(store, root, B=None)
                await store.trim(99, keep=keep_rules)
            await eventually(reached)
            tasks.cancel_scope.cancel()
        assert files_below(live) == {"A.yml": ttp("A", "n2").encode()}


@pytest.mark.promise("moving")
@pytest.mark.anyio
async def test_a_worker_that_slept_through_the_trim_hears_of_every_rule_that_went(
    tmp_path: Path,
) -> None:
    async with EventStore.open(f"sqlite:///{tmp_path}/log.db") as store:
        root = tmp_path / "rules"
        await edit(store, root, A="one", B="one", C="one", D="one")
        worker = RuleStore(store, consumer="worker")
        await worker.load_compiled()
        changes = worker.subscribe_changes()
        await edit(store, root, A="two")
        assert (await take(changes, 1))[0].rule_id == "A"
        await changes.subscription.ack(flush=True)
        await changes.aclose()
        await edit(store, root, A=None, B="two")
        await edit(store, root, E="one")
        await edit(store, root, E=None)
        await worker.set_state("C", RuleState("disabled"), "ana")
        await store.trim(99, keep=keep_rules, force=True)
        await edit(store, root, F="one")

        again = RuleStore(store, consumer="worker").subscribe_changes()
        found = {change.rule_id: change.new_value for change in await take(again, 5)}
        assert isinstance(found["A"], CompiledRule)
        assert found["A"].removed
        assert isinstance(found["E"], CompiledRule)
        assert found["E"].removed
        assert isinstance(found["B"], CompiledRule)
        assert found["B"].name == "two"
        assert isinstance(found["C"], RuleState)
        assert set(found) == {"A", "B", "C", "E", "F"}
        await again.aclose()


@pytest.mark.anyio
async def test_a_master_goes_on_after_a_trim_and_repeats_nothing(tmp_path: Path) -> None:
    async with EventStore.open(f"sqlite:///{tmp_path}/log.db") as store:
        root = tmp_path / "rules"
        keys = [f"R{number}" for number in range(8)]
        await edit(store, root, **dict.fromkeys(keys, "one"))
        fill(root, {"bad.yml": "rule_id: [\n"})
        await edit(store, root, **dict.fromkeys(keys[:7]))
        await store.trim(99, keep=keep_rules)
        head = await store.head()
        assert (await RuleSync(store, root, source="s").sync_once()).position is None
        # Rules that were removed before the trim come back, with the versions they had.
        await edit(store, root, **dict.fromkeys(keys[:7], "again"))
        assert sorted(await told(store, head.position)) == [("RuleDefined", k) for k in keys[:7]]
        defined = [event async for event in store.read(after=head.position)]
        assert {event.version for event in defined} == {3}


@pytest.mark.anyio
async def test_a_state_that_was_trimmed_still_ends_on_time(tmp_path: Path) -> None:
    past = {"state": {"state": "disabled", "expires_at": "2020-01-01T00:00:00+00:00"}}
    async with EventStore.open(f"sqlite:///{tmp_path}/log.db") as store:
        await store.append("rule-state/A", [NewEvent("RuleStateSet", past)])
        await store.trim(99, keep=keep_rules)

        async def ended() -> list[Event]:
            found = store.read(after=1, types={"RuleStateExpired"})
            return [event async for event in found]

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(StateExpiry(store).run)
            await eventually(ended)
            tasks.cancel_scope.cancel()
        assert [event.stream for event in await ended()] == ["rule-state/A"]
