"""Rules about tactics, techniques and procedures: our own YAML format.

A file is one mapping with ``rule_id``, ``rule_version``, ``name``, ``applies_to``,
``match`` and ``emits``, and optionally ``description`` and ``evidence_fields``. Other keys
are for the authors (references, dates) and are ignored.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from projections.rules.formats import _yaml_safe as yaml_safe
from projections.rules.formats._fields import Fields
from projections.rules.formats.base import ParsedRule, check_rule_id, files_ending
from projections.rules.model import CompiledRule, RuleState

if TYPE_CHECKING:
    from projections.rules.model import Emit

# Characters with a meaning in the subject names of message buses, where rule ids end up.
_UNFIT_FOR_ID: Final = re.compile(r"[.*>\s]")


class TtpFormat:
    """One strictly checked YAML document per file; the id is the rule's own."""

    name: Final = "ttp"
    filename: Final = files_ending(".yml", ".yaml")

    def read(self, path: str, content: bytes) -> ParsedRule:
        """Compile one file; RuleFormatError names the rule, the field and the line."""
        document = yaml_safe.load(path, content)
        fields = Fields(path, document, document.value, owner="rule", line=document.line)
        rule_id = fields.text("rule_id")
        if _UNFIT_FOR_ID.search(rule_id):
            raise fields.error("rule_id", f"{rule_id!r:.80} contains '.', '*', '>' or white space")
        check_rule_id(path, rule_id, document.line_of(fields.mapping, "rule_id"))
        fields.owner = f"rule {rule_id}"
        compiled = CompiledRule(
            rule_id=rule_id,
            rule_version=fields.version("rule_version"),
            name=fields.text("name"),
            applies_to=frozenset(fields.texts("applies_to")),
            match_spec=fields.mapping_at("match"),
            emits=tuple(_read_emit(entry) for entry in fields.children("emits")),
            evidence_fields=tuple(fields.optional_texts("evidence_fields")),
            state=RuleState(),
            description=fields.optional_text("description") or "",
        )
        if compiled.removed:
            raise fields.error("applies_to", "and emits are both empty, which means a removed rule")
        return ParsedRule(rule_id, compiled)


def _read_emit(entry: Fields) -> Emit:
    """Read one finding. An id such as 001 is an octal number in YAML, hence refused."""
    has_sub_technique = entry.mapping.get("sub_technique_id") is not None
    return (
        entry.text("technique_id"),
        entry.text("sub_technique_id") if has_sub_technique else None,
        entry.text("tactic"),
        entry.number("confidence"),
    )
