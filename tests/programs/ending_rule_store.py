"""Use a rule store and end without closing anything."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from projections.rules import RuleState, get_rule_store

if __name__ == "__main__":
    asyncio.run(get_rule_store().set_state("A", RuleState("disabled"), set_by="ana"))
    changes = get_rule_store().subscribe_changes()
    with suppress(TimeoutError):
        asyncio.run(asyncio.wait_for(anext(changes), 0.01))
    print("done")
