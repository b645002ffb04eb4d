"""The data of a definition as a master writes it, for tests that append events themselves."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from projections.rules.events import encode_content


def definition_data(
    rule_id: str, path: str | None, content: bytes = b"", *, source: str = "s", **rule: Any
) -> dict[str, Any]:
    """Return the data of ``RuleDefined``; ``rule`` replaces fields of the compiled rule."""
    return {
        "rule_id": rule_id,
        "path": path,
        "previous_path": None,
        "source": source,
        "format": "raw",
        "sha256": sha256(content).hexdigest(),
        **encode_content(content),
        "rule": {
            "rule_id": rule_id,
            "rule_version": 1,
            "name": rule_id,
            "applies_to": ["process"],
            "match_spec": {},
            "emits": [],
            "evidence_fields": [],
            "description": "",
            **rule,
        },
    }
