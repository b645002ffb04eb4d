"""A forked child sets a state through a rule store of its own; the parent follows it."""

from __future__ import annotations

import asyncio
import os

from projections.rules import RuleState, get_rule_store


async def follow(changes: object) -> None:
    async for kind, rule_id, value in changes:  # type: ignore[attr-defined]
        if kind == "state":
            print(rule_id, value.state, value.set_by)
            return


def main() -> None:
    rules = get_rule_store()
    asyncio.run(rules.load_compiled())
    changes = rules.subscribe_changes()
    child = os.fork()
    if child == 0:
        asyncio.run(get_rule_store().set_state("A", RuleState("disabled"), set_by="child"))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    asyncio.run(asyncio.wait_for(follow(changes), 20))


if __name__ == "__main__":
    main()
