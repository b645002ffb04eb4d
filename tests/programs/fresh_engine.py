"""Load the rules that the settings choose, as an engine that has just started; print their ids."""

from __future__ import annotations

from programs.common import run, say
from projections.rules import get_rule_store


async def main() -> None:
    rules = await get_rule_store().load_compiled()
    say(" ".join(sorted(rule.rule_id for rule in rules)))


if __name__ == "__main__":
    run(main)
