"""A small rule engine: loads rules from a store, follows their changes, judges events.

    python examples/engine.py [--url sqlite:///eventstore.db] < events.jsonl

Events are JSON objects, one a line; their key ``kind`` is what ``applies_to`` refers to.
Without ``--url`` the settings choose the store: try ``EVENTSTORE_RULES_DIR=config/rules/ttp``.
An engine with classes of its own gives them in ``TYPES``, and tests ``isinstance`` with them.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import sys
from collections import defaultdict
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import anyio

from eventstore import EventStore, EventStoreError
from projections.rules import (
    CompiledRule,
    LoadedReporter,
    RuleChange,
    RuleState,
    RuleStore,
    RuleTypes,
    get_rule_store,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

TYPES = RuleTypes(compiled=CompiledRule, state=RuleState)


def field(event: Any, path: str) -> Any:
    """Return the value at a dotted path, ``None`` where there is none."""
    for name in path.split("."):
        event = event.get(name) if isinstance(event, dict) else None
    return event


def same(value: Any, wanted: Any) -> bool:
    """Whether two values are equal: texts in any case, and true is not 1."""
    if isinstance(value, str) and isinstance(wanted, str):
        return fold(value) == fold(wanted)
    return isinstance(value, bool) is isinstance(wanted, bool) and bool(value == wanted)


fold = str.casefold  # Raises TypeError for what is no text: on that, no comparison holds.
GROUPS: dict[str, Any] = {"all": all, "any": any, "none": lambda held: not any(held)}
COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "exists": lambda value, wanted: (value is not None) is wanted,
    "equals": same,
    "in": lambda value, wanted: any(same(value, one) for one in wanted),
    "contains": lambda value, wanted: fold(wanted) in fold(value),
    "starts_with": lambda value, wanted: fold(value).startswith(fold(wanted)),
    "ends_with": lambda value, wanted: fold(value).endswith(fold(wanted)),
    "regex": lambda value, wanted: re.search(wanted, value) is not None,
    "greater_than": lambda value, wanted: not isinstance(value, bool) and value > wanted,
    "less_than": lambda value, wanted: not isinstance(value, bool) and value < wanted,
}


def matches(spec: dict[str, Any], event: dict[str, Any]) -> bool:
    """Whether a group or a condition holds for an event: see config/rules/README.md."""
    if "field" not in spec:
        return all(GROUPS[key](matches(one, event) for one in spec[key]) for key in spec)
    [comparison] = spec.keys() - {"field"}
    try:
        return COMPARISONS[comparison](field(event, spec["field"]), spec[comparison])
    except TypeError:
        return False  # The field is not there, or of another type.


def fault(spec: dict[str, Any]) -> str:
    """Return why a group or a condition cannot be judged; empty where it can."""
    try:
        if "field" not in spec:
            found = [fault(one) for key, all_ in spec.items() if GROUPS[key] for one in all_]
            return next(filter(None, found), "")
        [comparison] = spec.keys() - {"field"}
        if comparison not in COMPARISONS:
            return f"{comparison!r} is no comparison"
        re.compile(spec.get("regex", ""))
    except (LookupError, TypeError, ValueError, AttributeError, re.error) as error:
        return repr(error)
    return ""


class Engine:
    """Rules by id, and an index that says which of them an event is offered to."""

    def __init__(self, rules: list[CompiledRule]) -> None:
        self.rules: dict[str, CompiledRule] = {}
        self.index: dict[str, set[str]] = defaultdict(set)
        self.rejected: dict[str, str] = {}
        for rule in rules:
            self.replace(rule)

    def replace(self, rule: CompiledRule) -> None:
        """Put a rule in the place of the one with its id; a removed rule leaves none."""
        old = self.rules.pop(rule.rule_id, None)
        self.rejected.pop(rule.rule_id, None)
        for kind in old.applies_to if old else ():
            self.index[kind].discard(rule.rule_id)
        if not rule.removed:
            self.rules[rule.rule_id] = rule
            if why := fault(rule.match_spec):
                self.rejected[rule.rule_id] = why
        for kind in rule.applies_to:
            self.index[kind].add(rule.rule_id)

    def loaded(self) -> list[CompiledRule]:
        """Return the rules that judge events now."""
        return [rule for rule_id, rule in self.rules.items() if rule_id not in self.rejected]

    def apply(self, change: RuleChange) -> str:
        """Take in one change, and say what it was."""
        value = change.new_value
        if isinstance(value, CompiledRule):
            self.replace(value)
            return "removed" if value.removed else f"version {value.rule_version}: {value.name}"
        if rule := self.rules.get(change.rule_id):
            self.rules[change.rule_id] = rule._replace(state=value)
        return value.state

    def judge(self, line: str) -> Iterator[str]:
        """Yield a line for each finding in an event, and for each rule that cannot judge it."""
        try:
            event = dict(json.loads(line))
        except (ValueError, TypeError) as error:
            yield f"error      no event: {error}"
            return
        for rule_id in sorted(self.index.get(str(event.get("kind")), ())):
            rule = self.rules[rule_id]
            state = rule.state.effective(datetime.now(UTC))
            if state.state == "disabled":
                continue
            try:
                fires = matches(rule.match_spec, event)
            except (LookupError, TypeError, ValueError, AttributeError, re.error) as error:
                yield f"error      {rule_id}  its match is not understood: {error!r}"
                continue
            ceiling = state.confidence_max if state.state == "clipped" else None
            evidence = {path: field(event, path) for path in rule.evidence_fields}
            for technique, sub, tactic, confidence in rule.emits if fires else ():
                kept = confidence if ceiling is None else min(confidence, ceiling)
                yield f"finding    {rule_id}  {tactic} {sub or technique} {kept}  {evidence}"


async def follow(
    engine: Engine, changes: AsyncIterator[RuleChange], reporter: LoadedReporter
) -> None:
    """Keep the engine's rules as they are in the store."""
    async for change in changes:
        print(f"{change.change_kind:<10} {change.rule_id}  {engine.apply(change)}", flush=True)
        reporter.changed()


async def run(url: str | None, worker: str | None) -> None:
    """Load, then follow while events are judged; end with the events."""
    async with EventStore.open(url) if url else nullcontext() as log:
        # What get_rule_store returns closes itself.
        rules: Any = RuleStore(log, types=TYPES) if log else get_rule_store(types=TYPES)
        engine = Engine(await rules.load_compiled())
        print(f"{len(engine.rules)} rules, {len(engine.index)} kinds of events", flush=True)
        async with anyio.create_task_group() as tasks:
            reporter = LoadedReporter(
                rules,
                engine.loaded,
                rejected=lambda: engine.rejected,
                engine="examples/engine.py",
                version="1",
                worker=worker,
            )
            tasks.start_soon(follow, engine, rules.subscribe_changes(), reporter)
            tasks.start_soon(reporter.run)  # `eventstore fleet` shows what runs here.
            async for line in anyio.wrap_file(sys.stdin):
                for found in engine.judge(line):
                    print(found, flush=True)
            tasks.cancel_scope.cancel()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Judge events by rules that follow their store.")
    parser.add_argument("--url", help="the log; without it the settings choose the store")
    parser.add_argument("--worker", help="the name by which the fleet knows this engine")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C just ends it: nothing is lost.
    try:
        anyio.run(run, options.url, options.worker)
    except EventStoreError as trouble:
        sys.exit(f"error: {trouble}")
