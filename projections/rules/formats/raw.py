"""Any file as a rule: its relative path is its id, its content is not looked at."""

from __future__ import annotations

import hashlib
from typing import Final

from projections.rules.formats.base import ParsedRule, check_rule_id, files_ending
from projections.rules.model import CompiledRule, RuleState

APPLIES_TO: Final = frozenset({"raw"})
"""Never empty, since a rule that applies to nothing and emits nothing is a removed one."""


class RawFormat:
    """Files taken as they are: prompts, policies, binaries, empty files.

    Nothing is rejected for its content. ``match_spec`` names the content: ``path``,
    ``size`` in bytes and ``sha256`` in hexadecimal.
    """

    name: Final = "raw"
    filename: Final = files_ending()

    def read(self, path: str, content: bytes) -> ParsedRule:
        """Describe the file; raise RuleFormatError where its path cannot name a stream."""
        rule_id = check_rule_id(path, path)
        compiled = CompiledRule(
            rule_id=rule_id,
            rule_version=1,
            name=path.rpartition("/")[2],
            applies_to=APPLIES_TO,
            match_spec={
                "path": path,
                "sha256": hashlib.sha256(content).hexdigest(),
                "size": len(content),
            },
            emits=(),
            evidence_fields=(),
            state=RuleState(),
        )
        return ParsedRule(rule_id, compiled)
