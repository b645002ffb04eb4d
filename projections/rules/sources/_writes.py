"""What has to be appended so that the log says what a verdict found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eventstore import limits
from eventstore.log.events import NewEvent, StreamWrite
from projections.rules.events import (
    REJECTION_ENDED,
    RULE_DEFINED,
    RULE_REJECTED,
    RULE_REMOVED,
    RULES,
    encode_content,
)
from projections.rules.model import NO_LINKS, encode_links, encode_rule

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from projections.rules.formats import ParsedRule
    from projections.rules.sources.findings import ParsedFile
    from projections.rules.sources.reconcile import Verdict
    from projections.rules.standing_rules import StandingRules


def definition_events(parsed: ParsedFile, standing: StandingRules) -> dict[str, NewEvent]:
    """Return the events that define the rules of a file, by rule id.

    One of them carries the file's content, the others say which. Raises InvalidInputError
    where no event can hold a rule.
    """
    carrier = _carrier(parsed, standing)
    return {
        rule.rule_id: NewEvent(RULE_DEFINED, _definition(parsed, rule, carrier, standing))
        for rule in sorted(parsed.rules, key=lambda rule: rule.rule_id != carrier)
    }


def _definition(
    parsed: ParsedFile, rule: ParsedRule, carrier: str, standing: StandingRules
) -> dict[str, Any]:
    previous = standing.rules.get(rule.rule_id)
    data: dict[str, Any] = {
        "rule_id": rule.rule_id,
        "path": parsed.file.path,
        "previous_path": previous.path if previous else None,
        "source": standing.source,
        "format": parsed.format,
        "sha256": parsed.file.sha256,
    }
    if rule.rule_id == carrier:
        data |= encode_content(parsed.content)
    else:
        data["content_in"] = RULES + carrier
    data["rule"] = encode_rule(rule.compiled)
    if len(parsed.rules) > 1:
        data["rules"] = len(parsed.rules)
    if rule.links != NO_LINKS:
        data["links"] = encode_links(rule.links)
    return data


def _carrier(parsed: ParsedFile, standing: StandingRules) -> str:
    """Choose the rule whose event carries the content: the one that had it, else the first."""
    if len(parsed.rules) > 1:
        for rule_id in parsed.rule_ids:
            known = standing.rules.get(rule_id)
            if known is not None and known.carries and known.path == parsed.file.path:
                return rule_id
    return parsed.rules[0].rule_id


def writes_of(verdict: Verdict, standing: StandingRules) -> Iterator[StreamWrite]:
    """Yield the writes of a verdict; each expects the version that ``standing`` knows.

    Removals come first, so that a path is free before another rule takes it.
    """
    source, versions = standing.source, standing.versions
    for rule in verdict.removed:
        stream = RULES + rule.rule_id
        data = {"rule_id": rule.rule_id, "path": rule.path, "source": source}
        yield StreamWrite(stream, [NewEvent(RULE_REMOVED, data)], versions.get(stream, 0))
    for parsed in verdict.defined:
        for rule_id, event in definition_events(parsed, standing).items():
            stream = RULES + rule_id
            yield StreamWrite(stream, [event], versions.get(stream, 0))
    events = list(_rejection_events(verdict, source))
    stream = standing.source_stream
    for start in range(0, len(events), limits.MAX_COMMIT_EVENTS):
        portion = events[start : start + limits.MAX_COMMIT_EVENTS]
        yield StreamWrite(stream, portion, versions.get(stream, 0) + start)


def commits_of(writes: Iterable[StreamWrite]) -> Iterator[list[StreamWrite]]:
    """Cut writes into commits of a size that the log takes; nearly always there is one."""
    portion: list[StreamWrite] = []
    events = size = 0
    for write in writes:
        count = len(write.events)
        bytes_ = sum(len(event.raw_data) for event in write.events)
        if portion and (
            events + count > limits.MAX_COMMIT_EVENTS or size + bytes_ > limits.MAX_COMMIT_BYTES
        ):
            yield portion
            portion, events, size = [], 0, 0
        portion.append(write)
        events += count
        size += bytes_
    if portion:
        yield portion


def _rejection_events(verdict: Verdict, source: str) -> Iterator[NewEvent]:
    for rejected in verdict.new_rejections:
        data = {
            "path": rejected.path,
            "source": source,
            "sha256": rejected.sha256,
            "reason": rejected.reason,
            "line": rejected.line,
        }
        yield NewEvent(RULE_REJECTED, data)
    for path in verdict.ended:
        yield NewEvent(REJECTION_ENDED, {"path": path, "source": source})
