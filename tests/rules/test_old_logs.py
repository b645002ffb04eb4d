"""Logs written by earlier versions of this project say today what they said then."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import create_engine, text
from support.audit import audit
from support.old_logs import NAMES, OldLog, copy_old_log
from support.rule_log import files_below
from support.waiting import collect

from eventstore import Event, EventStore
from projections import DirectoryProjection, ProjectionRunner
from projections.rules import RuleStore, RuleTables
from projections.rules import events as rule_events
from projections.rules.model import encode_rule, encode_state

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio

TABLES = {"rule": "rule_id", "rule_rejection": "source, path", "rule_state": "rule_id"}


@pytest.fixture(params=NAMES)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> OldLog:
    """Give a copy of each log that is kept."""
    return copy_old_log(request.param, tmp_path)


def same(found: dict[str, Any], said: dict[str, Any]) -> None:
    """Compare what was known then; later versions may know more."""
    assert {key: found.get(key, "missing") for key in said} == said


def told(event: Event) -> dict[str, Any]:
    """Return an event in the form of the expectations."""
    values = event.to_dict() | {"hash": event.hash.hex()}
    if isinstance(event.data, bytes):
        values["data"] = {"__bytes__": base64.b64encode(event.data).decode()}
    return values


def rows(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the rule tables of a database."""
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        found = {
            name: [
                dict(row)
                for row in connection.execute(text(f"SELECT * FROM {name} ORDER BY {key}"))
                .mappings()
                .all()
            ]
            for name, key in TABLES.items()
        }
    engine.dispose()
    return found


def check_tables(path: Path, said: dict[str, list[dict[str, Any]]]) -> None:
    found = rows(path)
    for name, expected in said.items():
        assert len(found[name]) == len(expected) > 0
        for row, known in zip(found[name], expected, strict=True):
            same(row, known)


def test_the_old_logs_hold_every_event_of_the_rule_plane(tmp_path: Path) -> None:
    types = {
        event["type"] for name in NAMES for event in copy_old_log(name, tmp_path).said["events"]
    }
    written = {
        rule_events.RULE_DEFINED,
        rule_events.RULE_REMOVED,
        rule_events.RULE_REJECTED,
        rule_events.REJECTION_ENDED,
        rule_events.RULE_STATE_SET,
        rule_events.RULE_STATE_EXPIRED,
        "ChangeRejected",
    }
    assert types >= written


@pytest.mark.promise("old-events")
async def test_history_head_and_consumers_are_as_they_were(old: OldLog) -> None:
    async with EventStore.open(old.url) as store:
        events = await collect(store.read())
        head = await store.head()
        consumers = await store.consumers()
    assert [told(event) for event in events] == old.said["events"]
    assert {
        "log_id": head.log_id,
        "first_position": head.first_position,
        "position": head.position,
        "recorded_us": head.recorded_us,
        "hash": head.hash.hex(),
    } == old.said["head"]
    assert [
        {"name": c.name, "position": c.cursor.position, "epoch": c.epoch, "owner": c.owner}
        for c in consumers
    ] == old.said["consumers"]
    assert audit(old.path) == head.position


@pytest.mark.promise("old-events")
async def test_rules_and_states_are_as_they_were(old: OldLog) -> None:
    async with EventStore.open(old.url, clock=old.clock) as store:
        rules = RuleStore(store)
        loaded = await rules.load_compiled()
        states = {name: await rules.get_state(name) for name in old.said["states"]}
    assert len(loaded) == len(old.said["rules"]) > 0
    for rule, said in zip(loaded, old.said["rules"], strict=True):
        same({**encode_rule(rule), "state": encode_state(rule.state)}, said)
    for name, state in states.items():
        same(dict(encode_state(state)), old.said["states"][name])


async def test_the_directory_is_as_it_was(old: OldLog, tmp_path: Path) -> None:
    async with EventStore.open(old.url) as store:
        await ProjectionRunner(store, DirectoryProjection(tmp_path / "live")).catch_up()
    said = {path: base64.b64decode(content) for path, content in old.said["files"].items()}
    assert files_below(tmp_path / "live") == said


async def test_the_tables_are_as_they_were_inline_and_computed_again(
    old: OldLog, tmp_path: Path
) -> None:
    async with EventStore.open(old.url, inline=[RuleTables()]) as store:
        check_tables(old.path, old.said["tables"])
        followed = tmp_path / "views.db"
        await ProjectionRunner(store, RuleTables().at(f"sqlite:///{followed}")).catch_up()
    check_tables(followed, old.said["tables"])


async def test_a_consumer_goes_on_where_it_stood_and_the_log_grows(old: OldLog) -> None:
    said = old.said["consumers"][0]
    async with EventStore.open(old.url, inline=[RuleTables()]) as store:
        rules = RuleStore(store)
        state = await rules.get_state("R1001")
        await rules.set_state("R1001", state, set_by="today")
        async with store.subscribe_changes(consumer=said["name"], follow=False) as changes:
            events = await collect(changes)
    last = old.said["head"]["position"]
    assert [event.position for event in events] == list(range(said["position"] + 1, last + 2))
    assert audit(old.path) == last + 1
