"""Rule formats: what kinds of files may become rules, found by name."""

from projections.rules.formats.base import (
    ManyRulesFormat,
    ParsedRule,
    Remark,
    RuleFormat,
    RuleFormatError,
    check_rule_id,
    files_ending,
    get_format,
    has_many_rules,
    is_outdated,
    is_rule_file,
    known_formats,
    read_rules,
    register,
)
from projections.rules.formats.raw import RawFormat
from projections.rules.formats.sigma import SigmaFormat
from projections.rules.formats.ttp import TtpFormat

__all__ = [
    "ManyRulesFormat",
    "ParsedRule",
    "RawFormat",
    "Remark",
    "RuleFormat",
    "RuleFormatError",
    "SigmaFormat",
    "TtpFormat",
    "check_rule_id",
    "files_ending",
    "get_format",
    "has_many_rules",
    "is_outdated",
    "is_rule_file",
    "known_formats",
    "read_rules",
    "register",
]

register(TtpFormat())
register(SigmaFormat())
register(RawFormat())
