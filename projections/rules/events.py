"""The events of the rule plane: their names, their data, and how to make them.

=================  ======================  ==============================================
type               stream                  data
=================  ======================  ==============================================
``RuleDefined``    ``rule/ID``             ``rule_id, path, source, format, sha256``, the
                                           exact file as ``content`` (text) or ``base64``,
                                           ``rule``, the compiled rule, and
                                           ``previous_path``, null where no rule stood;
                                           ``links``, where it has any; of a file of
                                           several rules, ``rules``, their number, and in
                                           all but one ``content_in``, the stream that
                                           has the content, in place of the content
``RuleRemoved``    ``rule/ID``             ``rule_id, path, source``
``RuleRejected``   ``source/NAME``         ``path, source, sha256, reason, line``; ``claim``,
                                           ``rule_ids`` of other sources' rules that alone
                                           are against the file, and its ``definitions``
``RejectionEnded`` ``source/NAME``         ``path, source``
``SourceRenamed``  ``source/OLD``          ``source, to``: from here on the rules and the
                                           rejections of ``source`` are those of ``to``
``FilesIgnored``   ``source/NAME``         ``source``, ``ignored``, the number of files that
                                           a look passed over by their names
``RuleStateSet``   ``rule-state/ID``       ``rule_id, state``
``RuleStateExpired``  ``rule-state/ID``    ``rule_id, state`` (the default), ``ended``, the
                                           position of the state that has ended
``RulesHeld``      ``rule-hold/all``       ``position``, whose rules stay in force; ``by``,
                                           ``reason``
``RulesReleased``  ``rule-hold/all``       ``by``, ``reason``
=================  ======================  ==============================================
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

RULE_DEFINED: Final = "RuleDefined"
RULE_REMOVED: Final = "RuleRemoved"
RULE_REJECTED: Final = "RuleRejected"
REJECTION_ENDED: Final = "RejectionEnded"
SOURCE_RENAMED: Final = "SourceRenamed"
FILES_IGNORED: Final = "FilesIgnored"
RULE_STATE_SET: Final = "RuleStateSet"
RULE_STATE_EXPIRED: Final = "RuleStateExpired"

RULES_HELD: Final = "RulesHeld"
RULES_RELEASED: Final = "RulesReleased"

SOURCE_TYPES: Final = (
    RULE_DEFINED,
    RULE_REMOVED,
    RULE_REJECTED,
    REJECTION_ENDED,
    SOURCE_RENAMED,
    FILES_IGNORED,
)
"""What a master appends: rules, and what is the matter with their sources."""

STATE_TYPES: Final = (RULE_STATE_SET, RULE_STATE_EXPIRED)
"""What is appended of the states of rules."""

HOLD_TYPES: Final = (RULES_HELD, RULES_RELEASED)
"""What an operator appends to hold the rules of a fleet as of a moment, and to let them go."""

RULES: Final = "rule/"
STATES: Final = "rule-state/"
SOURCES: Final = "source/"
HOLDS: Final = "rule-hold/"
HOLD: Final = "rule-hold/all"
"""The stream whose last event says whether the rules are held."""


def encode_content(content: bytes) -> dict[str, str]:
    """Return a file's exact bytes as JSON: ``content`` if they are UTF-8, else ``base64``."""
    try:
        return {"content": content.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(content).decode()}


def decode_content(data: Mapping[str, Any]) -> bytes:
    """Undo :func:`encode_content`; raise ValueError where neither form is there."""
    if isinstance(text := data.get("content"), str):
        return text.encode()
    if isinstance(encoded := data.get("base64"), str):
        try:
            return base64.b64decode(encoded, validate=True)
        except binascii.Error as error:
            raise ValueError(f"base64 is malformed: {error}") from error
    raise ValueError("neither content nor base64 is given as text")
