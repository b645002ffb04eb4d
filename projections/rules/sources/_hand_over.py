"""Handing a rule over from one source to another without a gap.

A file that claims the id of another source's rule is rejected, and the rejection carries the
definition. Where the other source gives the rule up, its removal becomes that definition, in
the same commit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from projections.rules.sources._writes import CLAIM, TakenClaim

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from eventstore import EventStore
    from projections.rules.sources._writes import Part
    from projections.rules.sources.findings import ParsedFile
    from projections.rules.sources.reconcile import Rejected, Verdict
    from projections.rules.standing_rules import Claim, StandingRules


def hand_over(parts: Sequence[Part]) -> None:
    """Turn removals into the definitions of other directories of the same look."""
    removed = {rule.rule_id: verdict for verdict, _, _ in parts for rule in verdict.removed}
    for verdict, standing, _ in parts:
        for one in list(verdict.rejected):
            if one.claim is not None and _are_given_up(one.waits_for, removed, but_by=verdict):
                _take(verdict, standing, one, one.claim)
                _drop_removals(one.waits_for, removed)


def _are_given_up(
    rule_ids: Iterable[str], removed: Mapping[str, Verdict], but_by: Verdict | None = None
) -> bool:
    return all(rule_id in removed and removed[rule_id] is not but_by for rule_id in rule_ids)


def _drop_removals(rule_ids: Iterable[str], removed: dict[str, Verdict]) -> None:
    for rule_id in rule_ids:
        verdict = removed.pop(rule_id)
        verdict.removed = [rule for rule in verdict.removed if rule.rule_id != rule_id]


def _take(verdict: Verdict, standing: StandingRules, rejected: Rejected, claim: ParsedFile) -> None:
    verdict.defined.append(claim)
    verdict.rejected.remove(rejected)
    if rejected in verdict.new_rejections:
        verdict.new_rejections.remove(rejected)
    if rejected.path in standing.rejections:
        verdict.ended.append(rejected.path)


async def recorded_claims(store: EventStore, parts: Sequence[Part]) -> list[TakenClaim]:
    """Take the removals for which the log holds a claim out of their verdicts; return the claims.

    The source that claimed first gets a rule. A claim that was redacted counts for nothing.
    """
    taken: list[TakenClaim] = []
    removed = {rule.rule_id: verdict for verdict, _, _ in parts for rule in verdict.removed}
    if not removed:
        return taken
    standing = parts[0][1]
    judged = {part[1].source for part in parts}
    for claim in standing.claims():
        if claim.source in judged or not _are_given_up(claim.waits_for, removed):
            continue
        definitions = await _definitions(store, claim.position)
        if definitions and _fits(claim, definitions, standing):
            given_path = standing.rules[min(claim.waits_for)].path
            taken.append(TakenClaim(claim.source, claim.path, given_path, definitions))
            _drop_removals(claim.waits_for, removed)
    return taken


def _fits(claim: Claim, definitions: Mapping[str, dict[str, Any]], standing: StandingRules) -> bool:
    """Return whether no rule is against the claim but those that are given up."""
    others = definitions.keys() - claim.waits_for
    return claim.waits_for <= definitions.keys() and all(
        rule_id not in standing.rules or standing.rules[rule_id].source == claim.source
        for rule_id in others
    )


async def _definitions(store: EventStore, position: int) -> dict[str, dict[str, Any]]:
    """Return the data of the definitions that a rejection carries, by rule id."""
    async for event in store.read(after=position - 1, until=position, kept=True):
        if event.raw_data is not None and isinstance(event.data, dict):
            claim = event.data.get(CLAIM)
            found = claim.get("definitions") if isinstance(claim, dict) else None
            if isinstance(found, list):
                return {data["rule_id"]: data for data in found if isinstance(data, dict)}
    return {}
