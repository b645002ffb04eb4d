"""What differs between two moments: rules added, removed, changed, moved, and states."""

from __future__ import annotations

from difflib import unified_diff
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias

from projections.rules.model import encode_state

if TYPE_CHECKING:
    from collections.abc import Iterator

    from projections.rules.fold import Defined
    from projections.rules.model import RuleState
    from projections.rules.rules_at import RulesAt

DifferenceKind: TypeAlias = Literal["added", "removed", "changed", "moved", "state"]

KINDS: Final = ("added", "removed", "changed", "moved", "state")


class RuleDifference(NamedTuple):
    """One rule that differs: its definitions with their files' contents, or its states.

    Definitions and contents are None where there was no rule; states are None for definitions.
    """

    kind: DifferenceKind
    rule_id: str
    before: Defined | None = None
    after: Defined | None = None
    content_before: bytes | None = None
    content_after: bytes | None = None
    state_before: RuleState | None = None
    state_after: RuleState | None = None

    @property
    def paths(self) -> tuple[str | None, str | None]:
        """The paths of the rule's file before and after."""
        before, after = self.before, self.after
        return before.path if before else None, after.path if after else None

    def diff(self) -> list[str]:
        """Return the unified diff of the rule's file, or of its state; empty for a mere move."""
        if self.state_before is not None and self.state_after is not None:
            return _diff_states(self.rule_id, self.state_before, self.state_after)
        return diff_contents(self.content_before, self.content_after, *self.paths)

    def values(self, lines: list[str], *, stat: bool = False) -> dict[str, Any]:
        """Return it as JSON, with ``lines``, what :meth:`diff` gave; ``stat`` only counts them."""
        values: dict[str, Any] = {"kind": self.kind, "rule_id": self.rule_id}
        if self.state_after is not None and self.state_before is not None:
            values |= {
                "before": encode_state(self.state_before),
                "after": encode_state(self.state_after),
            }
        else:
            (was, now), (added, removed) = self.paths, count_lines(lines)
            values |= {
                "path_before": was,
                "path_after": now,
                "lines_added": added,
                "lines_removed": removed,
            }
        return values if stat else {**values, "diff": lines}


def compare_rules(before: RulesAt, after: RulesAt) -> list[RuleDifference]:
    """Return what differs, by kind and rule id; a rule whose state differs too is there twice."""
    rules = list(_compare_definitions(before, after))
    for rule_id in before.stateful() | after.stateful():
        old, new = before.state(rule_id), after.state(rule_id)
        if _said(old) != _said(new):
            rules.append(RuleDifference("state", rule_id, state_before=old, state_after=new))
    return sorted(rules, key=lambda one: (KINDS.index(one.kind), one.rule_id))


def _compare_definitions(before: RulesAt, after: RulesAt) -> Iterator[RuleDifference]:
    old, new = before.definitions(), after.definitions()
    old_files, new_files = before.contents(), after.contents()
    for rule_id in old.keys() | new.keys():
        was, now = old.get(rule_id), new.get(rule_id)
        content_was, content_now = _content_of(was, old_files), _content_of(now, new_files)
        kind: DifferenceKind
        if was is None:
            kind = "added"
        elif now is None:
            kind = "removed"
        elif content_was != content_now or was.stored != now.stored:
            kind = "changed"
        elif was.path != now.path:
            kind = "moved"
        else:
            continue
        yield RuleDifference(kind, rule_id, was, now, content_was, content_now)


def _content_of(says: Defined | None, files: dict[tuple[str | None, str], bytes]) -> bytes | None:
    if says is None or says.content is not None:
        return None if says is None else says.content
    return files.get((says.source, says.path))


def _said(state: RuleState) -> dict[str, object]:
    return {name: value for name, value in encode_state(state).items() if name != "set_at"}


def _diff_states(rule_id: str, before: RuleState, after: RuleState) -> list[str]:
    old, new = (
        [f"{name}: {value}" for name, value in encode_state(state).items() if value is not None]
        for state in (before, after)
    )
    name = f"state of {rule_id}"
    return list(unified_diff(old, new, name, name, n=0, lineterm=""))


def lines_of(content: bytes) -> list[str]:
    """Return the lines of a file, without their ends; what is not UTF-8 is escaped."""
    lines = content.decode("utf-8", "backslashreplace").split("\n")
    return lines if lines[-1] else lines[:-1]


NO_END: Final = "\\ No newline at end of file"
"""Follows a last line that has no end, as in git's diffs."""


def diff_contents(
    before: bytes | None, after: bytes | None, path_before: str | None, path_after: str | None
) -> list[str]:
    """Return the unified diff of two contents of a file, as git heads it; empty for none."""
    old = "/dev/null" if path_before is None else f"a/{path_before}"
    new = "/dev/null" if path_after is None else f"b/{path_after}"
    found: list[str] = []
    for line in unified_diff(_marked(before), _marked(after), old, new, lineterm=""):
        text, end, _ = line.partition("\n")  # No line has one inside.
        found += [text, NO_END] if end else [text]
    return found


def _marked(content: bytes | None) -> list[str]:
    """Return the lines of a file; a last one that has no end is marked by a line break."""
    lines = lines_of(content or b"")
    if content and not content.endswith(b"\n"):
        lines[-1] += "\n"
    return lines


def count_lines(diff: list[str]) -> tuple[int, int]:
    """Return how many lines a unified diff adds and removes."""
    body = diff[2:]
    added = sum(line.startswith("+") for line in body)
    return added, sum(line.startswith("-") for line in body)
