"""A log of rules, the directory that goes into it, and the one that comes out."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from eventstore import EventStore
from projections import DirectoryProjection, ProjectionRunner
from projections.rules import (
    CompiledRule,
    RuleState,
    RuleStore,
    RuleSync,
)
from support.master import ttp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from eventstore.testing import FakeClock
    from projections.rules import RuleChange


class Master:
    """A log, the directory of rules that goes into it, and the one that comes out."""

    def __init__(self, log: EventStore, directory: Path) -> None:
        self.log = log
        self.rules = directory / "rules"
        self.live = directory / "live"
        self.rules.mkdir(exist_ok=True)
        self.states = RuleStore(log)

    async def edit(self, *rule_ids: str, name: str = "first") -> None:
        """Save rules as one commit."""
        for rule_id in rule_ids:
            (self.rules / f"{rule_id}.yml").write_text(ttp(rule_id, name))
        await self._sync()

    async def remove(self, *rule_ids: str) -> None:
        """Delete rules as one commit."""
        for rule_id in rule_ids:
            (self.rules / f"{rule_id}.yml").unlink()
        await self._sync()

    async def _sync(self) -> None:
        await RuleSync(self.log, self.rules, source="test", allow_empty=True).sync_once()

    async def state(self, rule_id: str, state: RuleState) -> None:
        """Set a state."""
        await self.states.set_state(rule_id, state, set_by="ana")

    async def project(self) -> None:
        """Bring the directory up to date, and let it go."""
        await self.runner().catch_up()

    def runner(self) -> ProjectionRunner:
        """Return what projects the directory."""
        return ProjectionRunner(self.log, DirectoryProjection(self.live, fsync=False))


@asynccontextmanager
async def a_master(directory: Path, clock: FakeClock | None = None) -> AsyncIterator[Master]:
    directory.mkdir(exist_ok=True)
    settings: dict[str, Any] = {} if clock is None else {"clock": clock}
    async with EventStore.open(f"sqlite:///{directory}/events.db", **settings) as log:
        yield Master(log, directory)


def told(changes: list[RuleChange]) -> list[tuple[str, str]]:
    """Return each rule with its new name or state; an empty name where it is gone."""
    return [
        (rule_id, value.name if isinstance(value, CompiledRule) else value.state)
        for _, rule_id, value in changes
    ]
