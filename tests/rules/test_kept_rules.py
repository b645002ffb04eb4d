"""Rules with a copy on this host: a worker starts while the log is away, and says how old it is."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from support.network import HOST, free_port
from support.rule_events import definition_data
from support.served import serving_log
from support.waiting import eventually, take, until

from eventstore import AccessDeniedError, InvalidInputError, NewEvent
from eventstore.testing import FakeClock
from projections.rules import ReadOnlyError, RuleState, keep_rules, kept_rules

if TYPE_CHECKING:
    from pathlib import Path

    from support.served import Served

    from projections.rules import KeptRules

pytestmark = pytest.mark.anyio

CONFIRM = 0.02


@pytest.fixture(autouse=True)
def no_wait_for_fresh_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start with the copy at once where the log is away."""
    monkeypatch.setattr(kept_rules, "FRESH_SECONDS", 0.05)


def define(served: Served, rule_id: str) -> None:
    async def append() -> None:
        event = NewEvent("RuleDefined", definition_data(rule_id, f"{rule_id}.yml"))
        await served.store.append(f"rule/{rule_id}", [event])

    served.run(append())


async def ids(rules: KeptRules) -> list[str]:
    return [rule.rule_id for rule in await rules.load_compiled()]


@pytest.mark.slow
async def test_a_worker_starts_and_goes_on_while_its_log_is_away(tmp_path: Path) -> None:
    log, copy, clock = f"sqlite:///{tmp_path}/log.db", tmp_path / "copy", FakeClock()
    options: Any = {"confirm": CONFIRM, "clock": clock, "poll": 0.05}
    with ExitStack() as first:
        served = first.enter_context(serving_log(log, with_token=False))
        define(served, "R1")
        async with keep_rules(served.url, copy, **options) as rules:
            assert await ids(rules) == ["R1"]
            assert rules.age == 0
            changes = rules.subscribe_changes()
            define(served, "R2")
            assert [change.rule_id for change in await take(changes, 1)] == ["R2"]
            await until(lambda: rules.confirmed_position == 2)
            first.close()
            clock.advance(timedelta(minutes=1))
            assert await ids(rules) == ["R1", "R2"]
            with pytest.raises(ReadOnlyError):
                await rules.set_state("R1", RuleState("disabled"), "ana")
    clock.advance(timedelta(hours=1))
    async with keep_rules(served.url, copy, **options) as rules:
        assert await ids(rules) == ["R1", "R2"]
        assert rules.age is not None
        assert rules.age >= 3_600
        await until(lambda: rules.log_trouble)
        assert "cannot be reached" in rules.log_trouble
        with serving_log(log, with_token=False, port=served.port) as served:
            define(served, "R3")

            async def has_all() -> bool:
                return await ids(rules) == ["R1", "R2", "R3"]

            await eventually(has_all)
            await until(lambda: (rules.age, rules.log_trouble) == (0, ""))


async def test_a_database_that_is_away_leaves_the_copy(tmp_path: Path) -> None:
    with serving_log("memory://", with_token=False) as served:
        define(served, "R1")
        async with keep_rules(served.url, tmp_path / "copy") as rules:
            assert await ids(rules) == ["R1"]
    away = f"postgresql://worker:SECRET@{HOST}:{free_port()}/none"
    async with keep_rules(away, tmp_path / "copy") as rules:
        assert await ids(rules) == ["R1"]
        await until(lambda: rules.log_trouble)
        assert "SECRET" not in rules.log_trouble


async def test_without_a_copy_what_does_not_pass_is_raised_as_it_is(tmp_path: Path) -> None:
    with serving_log("memory://") as served:
        wrong = served.url.replace("@", "x@")
        with pytest.raises(AccessDeniedError):
            async with keep_rules(wrong, tmp_path / "copy"):
                raise AssertionError
        with pytest.raises(InvalidInputError):
            async with keep_rules(served.url, tmp_path / "copy", confirm=0):
                raise AssertionError
        with pytest.raises(LookupError):
            async with keep_rules(served.url, tmp_path / "copy"):
                raise LookupError
        with anyio.move_on_after(60) as waited:
            async with keep_rules(served.url, tmp_path / "copy") as rules:
                # Revoked while it is followed: the copy stands.
                await anyio.to_thread.run_sync(served.revoke)
                await until(lambda: "401" in rules.log_trouble)
        assert not waited.cancelled_caught
