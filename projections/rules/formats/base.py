"""What a rule format is, and the table of those that are known by name.

A new format (YARA, Rego) is one file: a class with the three members of
:class:`RuleFormat`, and ``register(YaraFormat())`` at its end; import it before the format
is asked for. Those of this package are registered by its ``__init__``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeGuard

from eventstore.errors import ConfigError, EventStoreError, InvalidInputError
from eventstore.log.names import check_stream
from projections.rules.model import NO_LINKS, Links

if TYPE_CHECKING:
    from collections.abc import Mapping

    from projections.rules.model import CompiledRule

SCRATCH_NAME: Final = re.compile(
    r"\..*"  # hidden files, vim's .x.swp, emacs' .#x, our own temporary files
    r"|.*~"  # backups
    r"|#.*#"  # emacs' auto-save
    r"|4913"  # vim tests with this name whether it may write to the folder
    r"|.*___jb_(?:tmp|old)___",  # JetBrains' safe write
    re.DOTALL,
)
"""Base names that editors make and remove in passing; none of them is ever a rule."""


class RuleFormatError(EventStoreError):
    """A file cannot be taken as a rule; the last good version of the rule stays.

    ``path`` is the file, ``reason`` says what is wrong with it, ``line`` counts from 1 and
    is None where no single line is to blame.
    """

    def __init__(self, path: str, reason: str, line: int | None = None) -> None:
        where = path if line is None else f"{path}:{line}"
        super().__init__(f"{where}: {reason}")
        self.path = path
        self.reason = reason
        self.line = line


class Remark(NamedTuple):
    """What is wrong with a rule that is taken all the same; ``line`` counts from 1."""

    reason: str
    line: int | None


@dataclass(frozen=True, slots=True)
class ParsedRule:
    """One rule of a file: its identity within the log, and what engines take.

    ``links`` connect it with others of its source; ``remarks`` are shown by a check.
    """

    rule_id: str
    compiled: CompiledRule
    links: Links = NO_LINKS
    remarks: tuple[Remark, ...] = ()


class RuleFormat(Protocol):
    """How files of one kind become rules. Implementations hold no state.

    Guarantee: equal content under an equal path gives an equal rule, and a rule never has
    both ``applies_to`` and ``emits`` empty, which would mean that it was removed.
    """

    @property
    def name(self) -> str:
        """What users write to choose the format, for example ``"ttp"``."""

    @property
    def filename(self) -> re.Pattern[str]:
        """Which files count, unless the user says otherwise: matched on whole base names."""

    def read(self, path: str, content: bytes) -> ParsedRule:
        """Turn one file into its rule; ``path`` is relative to the tree, with ``/``.

        The caller limits the size of ``content``. Raises
        :class:`RuleFormatError`, and nothing else, whichever bytes a file contains.
        """


class ManyRulesFormat(RuleFormat, Protocol):
    """A format whose files may hold several rules, which may refer to each other."""

    def canonical_id(self, rule_id: str) -> str:
        """Return the spelling that :meth:`read_all` gives to an id; equal ids have one."""

    def read_all(self, path: str, content: bytes) -> tuple[ParsedRule, ...]:
        """Turn one file into its rules, at least one, each with an id of its own.

        Equal content gives the same ids in whichever order the rules are written. Raises
        :class:`RuleFormatError`, and nothing else.
        """

    def link(self, rule: ParsedRule, links: Links) -> ParsedRule:
        """Return the rule as it is once its references have been resolved."""

    def is_outdated(self, match_spec: Mapping[str, Any], content: bytes) -> bool:
        """Whether an earlier version made something else of this file than this one does."""


def has_many_rules(rule_format: RuleFormat | None) -> TypeGuard[ManyRulesFormat]:
    """Whether the files of a format may hold several rules."""
    return hasattr(rule_format, "read_all")


def read_rules(rule_format: RuleFormat, path: str, content: bytes) -> tuple[ParsedRule, ...]:
    """Turn one file into its rules, whether the format knows of several or of one only."""
    if has_many_rules(rule_format):
        return rule_format.read_all(path, content)
    return (rule_format.read(path, content),)


def is_outdated(name: str | None, match_spec: Mapping[str, Any], content: bytes) -> bool:
    """Whether the format ``name`` reads a file otherwise by now than this ``match_spec`` says."""
    rule_format = _formats.get(name or "")
    return has_many_rules(rule_format) and rule_format.is_outdated(match_spec, content)


_formats: dict[str, RuleFormat] = {}


def register(rule_format: RuleFormat) -> None:
    """Make a format known by its name; raise ConfigError where the name is taken."""
    if rule_format.name in _formats:
        raise ConfigError(f"rule format {rule_format.name!r} is registered already")
    _formats[rule_format.name] = rule_format


def get_format(name: str) -> RuleFormat:
    """Return the format of that name; raise ConfigError naming the known ones."""
    try:
        return _formats[name]
    except KeyError:
        raise ConfigError(
            f"unknown rule format {name!r}: known are {', '.join(known_formats())}"
        ) from None


def known_formats() -> tuple[str, ...]:
    """Names of all registered formats, sorted."""
    return tuple(sorted(_formats))


def is_rule_file(name: str, allowed: re.Pattern[str]) -> bool:
    """Whether a file of this base name counts as a rule.

    ``allowed`` is a format's ``filename`` or the user's own pattern; however wide that is,
    editors' scratch files never count.
    """
    return allowed.fullmatch(name) is not None and SCRATCH_NAME.fullmatch(name) is None


def check_rule_id(path: str, rule_id: str, line: int | None = None) -> str:
    """Return ``rule_id`` if the stream ``rule/<id>`` may be named after it.

    Raises :class:`RuleFormatError` for control characters, lone surrogates, an empty or
    overlong id, and one that ends in a slash.
    """
    try:
        check_stream(f"rule/{rule_id}")
    except InvalidInputError as error:
        reason = f"rule id {rule_id!r:.80} cannot be used: {error.reason}"
        raise RuleFormatError(path, reason, line) from error
    return rule_id
