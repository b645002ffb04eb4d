"""Rule formats: what kinds of files may become rules, found by name."""

from projections.rules.formats.base import (
    ParsedRule,
    RuleFormat,
    RuleFormatError,
    get_format,
    is_rule_file,
    known_formats,
    register,
)
from projections.rules.formats.raw import RawFormat
from projections.rules.formats.sigma import SigmaFormat
from projections.rules.formats.ttp import TtpFormat

__all__ = [
    "ParsedRule",
    "RawFormat",
    "RuleFormat",
    "RuleFormatError",
    "SigmaFormat",
    "TtpFormat",
    "get_format",
    "is_rule_file",
    "known_formats",
    "register",
]

register(TtpFormat())
register(SigmaFormat())
register(RawFormat())
