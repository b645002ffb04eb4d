"""What has to be appended so that the log says what a verdict found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from eventstore import limits
from eventstore.log.events import NewEvent, StreamWrite
from projections.rules.events import (
    FILES_IGNORED,
    REJECTION_ENDED,
    RULE_DEFINED,
    RULE_REJECTED,
    RULE_REMOVED,
    RULES,
    SOURCES,
    encode_content,
)
from projections.rules.model import NO_LINKS, encode_links, encode_rule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import TypeAlias

    from projections.rules.formats import ParsedRule
    from projections.rules.sources.findings import ParsedFile
    from projections.rules.sources.reconcile import Verdict
    from projections.rules.standing_rules import StandingRules

    Metadata: TypeAlias = Mapping[str, Any]
    MetadataOf: TypeAlias = Callable[[str], Metadata | None]
    Part: TypeAlias = tuple[Verdict, StandingRules, MetadataOf]

CLAIM: Final = "claim"
"""Key of a rejection's data under which its definitions wait for their rule ids."""


@dataclass(frozen=True, slots=True)
class TakenClaim:
    """A claim of the log that is fulfilled by removals: a file of ``source`` and its rules.

    ``definitions`` are the data of the definitions by rule id. ``given_path`` is where one of
    the rules was in the source that gives them up.
    """

    source: str
    path: str
    given_path: str
    definitions: dict[str, dict[str, Any]]


def definition_events(
    parsed: ParsedFile, standing: StandingRules, metadata: Metadata | None = None
) -> dict[str, NewEvent]:
    """Return the events that define the rules of a file, by rule id.

    One of them carries the file's content, the others say which. Raises InvalidInputError
    where no event can hold a rule.
    """
    return {
        data["rule_id"]: NewEvent(RULE_DEFINED, data, metadata=metadata)
        for data in _definitions(parsed, standing)
    }


def _definitions(parsed: ParsedFile, standing: StandingRules) -> list[dict[str, Any]]:
    """Return the data of the definitions of a file's rules, the one with the content first."""
    carrier = _carrier(parsed, standing)
    return [
        _definition(parsed, rule, carrier, standing)
        for rule in sorted(parsed.rules, key=lambda rule: rule.rule_id != carrier)
    ]


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


def writes_of(parts: Sequence[Part], claims: Sequence[TakenClaim] = ()) -> Iterator[StreamWrite]:
    """Yield the writes of verdicts; each expects the version that the standing rules know.

    A part is a verdict, what stands, and a function that returns the metadata of a path's
    event. Removals come first, so that a path is free before another rule takes it.
    """
    for verdict, standing, metadata in parts:
        yield from _removals(verdict, standing, metadata)
    for verdict, standing, metadata in parts:
        for parsed in verdict.defined:
            definitions = definition_events(parsed, standing, metadata(parsed.file.path))
            for rule_id, event in definitions.items():
                yield _write(RULES + rule_id, [event], standing)
    if claims:
        yield from _handed_over(claims, *parts[0][1:])
    for verdict, standing, metadata in parts:
        events = list(_source_events(verdict, standing, metadata))
        yield from _portions(standing.source_stream, events, standing)


def _removals(
    verdict: Verdict, standing: StandingRules, metadata: MetadataOf
) -> Iterator[StreamWrite]:
    for rule in verdict.removed:
        data = {"rule_id": rule.rule_id, "path": rule.path, "source": standing.source}
        event = NewEvent(RULE_REMOVED, data, metadata=metadata(rule.path))
        yield _write(RULES + rule.rule_id, [event], standing)


def _handed_over(
    claims: Sequence[TakenClaim], standing: StandingRules, metadata: MetadataOf
) -> Iterator[StreamWrite]:
    """Yield the definitions that the log holds as claims, and the ends of those rejections."""
    ends: dict[str, list[NewEvent]] = {}
    for claim in claims:
        for rule_id, data in claim.definitions.items():
            known = standing.rules.get(rule_id)
            data["previous_path"] = None if known is None else known.path
            event = NewEvent(RULE_DEFINED, data, metadata=metadata(claim.given_path))
            yield _write(RULES + rule_id, [event], standing)
        end = NewEvent(REJECTION_ENDED, {"path": claim.path, "source": claim.source})
        ends.setdefault(SOURCES + claim.source, []).append(end)
    for stream, events in ends.items():
        yield from _portions(stream, events, standing)


def _portions(
    stream: str, events: Sequence[NewEvent], standing: StandingRules
) -> Iterator[StreamWrite]:
    version = standing.versions.get(stream, 0)
    for start in range(0, len(events), limits.MAX_COMMIT_EVENTS):
        portion = events[start : start + limits.MAX_COMMIT_EVENTS]
        yield StreamWrite(stream, portion, version + start)


def _write(stream: str, events: Sequence[NewEvent], standing: StandingRules) -> StreamWrite:
    return StreamWrite(stream, events, standing.versions.get(stream, 0))


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


def _source_events(
    verdict: Verdict, standing: StandingRules, metadata: MetadataOf
) -> Iterator[NewEvent]:
    for rejected in verdict.new_rejections:
        data: dict[str, Any] = {
            "path": rejected.path,
            "source": standing.source,
            "sha256": rejected.sha256,
            "reason": rejected.reason,
            "line": rejected.line,
        }
        if rejected.claim is not None:
            # The definitions wait here until the source that has the rules gives them up.
            data[CLAIM] = {
                "rule_ids": sorted(rejected.waits_for),
                "definitions": _definitions(rejected.claim, standing),
            }
        yield NewEvent(RULE_REJECTED, data, metadata=metadata(rejected.path))
    for path in verdict.ended:
        yield NewEvent(REJECTION_ENDED, {"path": path, "source": standing.source})
    if verdict.counts_anew(standing):
        counted = {"source": standing.source, "ignored": verdict.ignored}
        yield NewEvent(FILES_IGNORED, counted, metadata=metadata(""))
