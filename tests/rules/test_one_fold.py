"""Every derivation of rules says the same of one history: against a model of its own.

Store, tables, directory, replica, standing rules and what is left after a trim, each followed
along and computed anew, over histories with moves, poison, redactions and trims.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import anyio
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.examples import examples
from support.rule_events import definition_data
from support.rule_log import files_below

from eventstore import EventStore, NewEvent
from projections import DirectoryProjection, ProjectionRunner
from projections.rules import RuleReplica, RuleState, RuleStore, RuleTables
from projections.rules.standing_rules import StandingRules
from projections.rules.trim_policy import keep_rules
from rules.test_tables import rows

if TYPE_CHECKING:
    from projections.rules import CompiledRule

KEYS = "AB"
SOURCE = "s"


class Said(NamedTuple):
    """An event to append; ``good`` is what it says, None where it cannot be used."""

    stream: str
    type: str
    data: Any
    good: Any = None


class Act(NamedTuple):
    """Redact an event, trim, or bring what follows along up to date."""

    what: str
    share: float = 1.0


def defined(key: str, move: int, edit: int) -> Said:
    path, name = f"{key}{move}.yml", f"{key}-{edit}"
    data = definition_data(key, path, name.encode(), source=SOURCE, name=name)
    return Said(f"rule/{key}", "RuleDefined", data, (path, name))


def spoiled(key: str, how: int) -> Said:
    """Give a definition of which a part, and only that part, cannot be read."""
    data = definition_data(key, f"{key}.yml", b"poison", source=SOURCE, name="poison")
    whole: list[Any] = [
        {**data, "path": 7},
        {**data, "content": None},
        {**data, "rule": {**data["rule"], "emits": "none"}},
        {k: v for k, v in data.items() if k != "rule"},
        {**data, "source": ["s"]},
        [data],
        json.dumps(data).encode(),
    ]
    return Said(f"rule/{key}", "RuleDefined", whole[how % len(whole)])


def state(key: str, word: str, type_: str) -> Said:
    good = word if word != "asleep" else None
    return Said(f"rule-state/{key}", type_, {"state": {"state": word}}, good)


def rejection(type_: str, path: Any) -> Said:
    data = {"path": path, "sha256": "00", "reason": "bad"}
    return Said(f"source/{SOURCE}", type_, data, path if isinstance(path, str) else None)


key = st.sampled_from(KEYS)
STEPS = st.one_of(
    st.builds(defined, key, st.integers(0, 1), st.integers(0, 9)),
    st.builds(defined, key, st.integers(0, 1), st.integers(0, 9)),
    st.builds(spoiled, key, st.integers(0, 6)),
    st.builds(lambda k: Said(f"rule/{k}", "RuleRemoved", {}, "gone"), key),
    st.builds(lambda k: Said(f"rule/{k}", "Reviewed", {"path": "no.yml"}), key),
    st.builds(lambda k: defined(k, 0, 0)._replace(stream=f"other/{k}", good=None), key),
    st.builds(
        state,
        key,
        st.sampled_from(["disabled", "clipped", "asleep"]),
        st.sampled_from(["RuleStateSet", "RuleStateExpired"]),
    ),
    st.builds(
        rejection,
        st.sampled_from(["RuleRejected", "RuleRejected", "RejectionEnded"]),
        st.sampled_from(["x", "y", 3]),
    ),
    st.builds(Act, st.sampled_from(["redact", "redact", "follow"]), st.floats(0, 1)),
    st.builds(Act, st.sampled_from(["trim"]), st.floats(0.3, 1)),
)


class Model:
    """What must be known: each event that is left, and whether it was redacted."""

    def __init__(self) -> None:
        self.left: dict[int, Said] = {}
        self.redacted: set[int] = set()

    def says(self) -> dict[str, Any]:
        """Return files, names, states and rejections, each looked for from the end."""
        rules = {key: rule for key in KEYS if (rule := self._last(f"rule/{key}"))}
        states = {key: self._last(f"rule-state/{key}") or "enabled" for key in KEYS}
        return {
            "files": dict(rules.values()),
            "names": {key: name for key, (_, name) in rules.items()},
            "states": states,
            "rejected": self._rejected(),
        }

    def _last(self, stream: str) -> Any:
        category = stream.partition("/")[0]
        types = {
            "rule": ("RuleDefined", "RuleRemoved"),
            "rule-state": ("RuleStateSet", "RuleStateExpired"),
        }[category]
        for position in sorted(self.left, reverse=True):
            said = self.left[position]
            if said.stream != stream or said.type not in types:
                continue
            if position in self.redacted or said.good == "gone":
                return None
            if said.good is not None:
                return said.good
        return None

    def _rejected(self) -> set[str]:
        last = {}
        for position in sorted(self.left.keys() - self.redacted):
            said = self.left[position]
            if said.stream.startswith("source/") and said.good is not None:
                last[said.good] = said.type == "RuleRejected"
        return {path for path, stands in last.items() if stands}


def told(rules: list[CompiledRule]) -> dict[str, Any]:
    return {rule.rule_id: rule.name for rule in rules}


class Derived:
    """Every derivation, under one name, of a log at ``folder``."""

    def __init__(self, folder: Path, store: EventStore, name: str) -> None:
        self.store, self.tree = store, folder / name
        self.tables = f"sqlite:///{folder}/{name}.db"
        self.rules, self.standing = RuleStore(store), StandingRules(SOURCE)
        self.directory = DirectoryProjection(self.tree, fsync=False)

    async def check(self, expected: dict[str, Any]) -> None:
        """Bring everything to the head, and compare it with what the model says."""
        for projection in (self.directory, RuleTables().at(self.tables)):
            await ProjectionRunner(self.store, projection).catch_up()
        await self.standing.refresh(self.store)
        files = {path: raw.decode() for path, raw in files_below(self.tree).items()}
        replica, tables = RuleReplica(self.tree), rows(self.tables)
        names, states = expected["names"], expected["states"]
        assert files == expected["files"]
        assert told(await self.rules.load_compiled()) == names
        assert told(await replica.load_compiled()) == names
        assert {row["rule_id"]: row["name"] for row in tables["rule"]} == names
        assert {one.path for one in self.standing.rules.values()} == files.keys()
        assert self.standing.rules.keys() == names.keys()
        for reader in (self.rules, replica):
            assert {k: (await reader.get_state(k)).state for k in KEYS} == states
        in_tables = {row["rule_id"]: row["state"] for row in tables["rule_state"]}
        assert {k: in_tables.get(k, RuleState().state) for k in KEYS} == states
        rejected = {row["path"] for row in tables["rule_rejection"] if row["stands"]}
        assert rejected == self.standing.rejections.keys() == expected["rejected"]


async def act(store: EventStore, model: Model, act: Act, folder: Path) -> None:
    if act.what == "redact" and model.left:
        position = sorted(model.left)[round(act.share * (len(model.left) - 1))]
        await store.redact(position, "a request")
        model.redacted.add(position)
    if act.what == "trim":
        before, expected = (await store.head()).position, model.says()
        cut = 1 + round(act.share * before)
        await store.trim(cut, keep=keep_rules, archive=folder / f"archive-{before}", force=True)
        left = {event.position async for event in store.read(kept=True)}
        model.left = {p: said for p, said in model.left.items() if p in left}
        assert model.says() == expected


async def run(folder: Path, steps: list[Said | Act]) -> None:
    model = Model()
    async with EventStore.open("memory://") as store:
        live = Derived(folder, store, "live")
        for step in steps:
            if isinstance(step, Said):
                done = await store.append(step.stream, [NewEvent(step.type, step.data)])
                model.left[done.position] = step
            elif step.what == "follow":
                await live.check(model.says())
            else:
                await act(store, model, step, folder)
        await live.check(model.says())
        await Derived(folder, store, "fresh").check(model.says())
        await act(store, model, Act("trim"), folder)
        await live.check(model.says())
        await Derived(folder, store, "left").check(model.says())


FOLLOW, REDACT_LAST, REDACT_FIRST = Act("follow"), Act("redact", 1.0), Act("redact", 0.0)
REVIEWED = Said("rule/A", "Reviewed", {})


@pytest.mark.slow
@pytest.mark.promise("projection")
@settings(max_examples=examples(60), deadline=None)
@given(st.lists(STEPS, min_size=1, max_size=25))
@example([defined("A", 0, 1), REVIEWED, FOLLOW, REDACT_LAST])
@example([defined("A", 0, 1), spoiled("A", 0), FOLLOW, REDACT_LAST])
@example([defined("A", 0, 1), defined("A", 1, 2), FOLLOW, REDACT_FIRST])
@example([rejection("RuleRejected", "x"), FOLLOW, REDACT_LAST])
@example([rejection("RuleRejected", "x"), rejection("RejectionEnded", "x"), FOLLOW, REDACT_LAST])
@example([state("A", "disabled", "RuleStateSet"), state("A", "asleep", "RuleStateSet"),
          FOLLOW, REDACT_LAST])  # fmt: skip
@example([defined("A", 0, 1), *[spoiled("A", how) for how in range(7)], FOLLOW])
def test_all_derivations_agree_with_the_model(steps: list[Said | Act]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        anyio.run(run, Path(folder), steps)
