"""Set the state of the rule "A". Argument: URL."""

from __future__ import annotations

from eventstore import EventStore
from programs.common import run
from projections.rules import RuleState, RuleStore


async def main(url: str) -> None:
    async with EventStore.open(url) as store:
        await RuleStore(store).set_state("A", RuleState("disabled"), set_by="another")


if __name__ == "__main__":
    run(main)
