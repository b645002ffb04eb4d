"""YARA rules as a rule format: one rule a file, whose name is its id.

This package shows how a format joins ``eventstore``: its pyproject.toml names the class in the
entry point group ``eventstore.rule_formats``. It reads what a master needs to know (the rule's
name, its tags and its description) and leaves the rest to an engine's own YARA compiler, which
gets the whole file.
"""

from __future__ import annotations

import re
from typing import Final

from projections.rules import CompiledRule, RuleState
from projections.rules.formats import ParsedRule, RuleFormatError, check_rule_id, files_ending

_COMMENT_OR_TEXT: Final = re.compile(
    r"""(?P<text>"(?:\\.|[^"\\\n])*")|/\*.*?\*/|//[^\n]*""", re.DOTALL
)
_RULE: Final = re.compile(
    r"^[ \t]*(?:(?:private|global)\s+)*rule\s+(?P<name>\w+)\s*(?::\s*(?P<tags>[\w\s]+))?\{",
    re.MULTILINE,
)
_DESCRIPTION: Final = re.compile(r'\bdescription\s*=\s*"((?:\\.|[^"\\\n])*)"')


class YaraFormat:
    """One YARA rule per file; ``applies_to`` are its tags, or ``file`` without any."""

    name: Final = "yara"
    filename: Final = files_ending(".yar", ".yara")

    def read(self, path: str, content: bytes) -> ParsedRule:
        """Describe one file; RuleFormatError says what makes it no YARA rule."""
        try:
            text = content.decode()
        except UnicodeDecodeError as error:
            line = content[: error.start].count(b"\n") + 1
            raise RuleFormatError(path, "is not UTF-8", line) from error
        code = _COMMENT_OR_TEXT.sub(_blank, text)
        rules = list(_RULE.finditer(code))
        if not rules:
            raise RuleFormatError(path, "contains no rule")
        if len(rules) > 1:
            line = code.count("\n", 0, rules[1].start("name")) + 1
            raise RuleFormatError(path, "a second rule starts here: give it a file", line)
        (rule,) = rules
        line = code.count("\n", 0, rule.start("name")) + 1
        if not re.search(r"\bcondition\s*:", code[rule.end() :]):
            raise RuleFormatError(path, f"rule {rule['name']} has no condition", line)
        rule_id = check_rule_id(path, rule["name"], line)
        description = _DESCRIPTION.search(text)
        compiled = CompiledRule(
            rule_id=rule_id,
            rule_version=1,
            name=rule["name"],
            applies_to=frozenset((rule["tags"] or "file").split()),
            match_spec={"yara": text},
            emits=(),
            evidence_fields=(),
            state=RuleState(),
            description=description[1] if description else "",
        )
        return ParsedRule(rule_id, compiled)


def _blank(found: re.Match[str]) -> str:
    """Return as many lines as a comment or a text had, without what it said."""
    return '""' if found["text"] else "\n" * found[0].count("\n") or " "
