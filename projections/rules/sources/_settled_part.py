"""What of a verdict can be taken while the directory does not come to rest.

Definitions of files that have not changed for a while can. A removal waits, for its file may be
on its way to another place, and with it every definition that may be the other end of that
move, or that needs the path that the removal gives free.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from projections.rules.sources.findings import ParsedFile
    from projections.rules.sources.reconcile import Verdict
    from projections.rules.standing_rules import StandingRules


def settled_part(
    verdict: Verdict, standing: StandingRules, settled: AbstractSet[str]
) -> tuple[Verdict, int]:
    """Return what can be taken now, and how many changes wait for rest.

    ``settled`` are the paths of the files that have come to rest.
    """
    defined = _ready(verdict, standing, settled)
    rejections = [one for one in verdict.new_rejections if one.path in settled]
    gone = {rule.path for rule in verdict.removed}
    ended = [path for path in verdict.ended if path in settled and path not in gone]
    part = replace(verdict, defined=defined, removed=[], new_rejections=rejections, ended=ended)
    return part, _count(verdict) - _count(part) + verdict.changing


def _ready(
    verdict: Verdict, standing: StandingRules, settled: AbstractSet[str]
) -> list[ParsedFile]:
    contents = {rule.sha256 for rule in verdict.removed}
    ready = [
        parsed
        for parsed in verdict.defined
        if parsed.file.path in settled and parsed.file.sha256 not in contents
    ]
    at_path = standing.rules_by_path()
    # A path is free only once every rule that has it is defined in the same commit.
    while True:
        ids = {rule_id for parsed in ready for rule_id in parsed.rule_ids}
        free = [
            parsed
            for parsed in ready
            if all(rule.rule_id in ids for rule in at_path.get(parsed.file.path, ()))
        ]
        if len(free) == len(ready):
            return ready
        ready = free


def _count(verdict: Verdict) -> int:
    return (
        len(verdict.defined)
        + len(verdict.removed)
        + len(verdict.new_rejections)
        + len(verdict.ended)
    )
