"""What a rule format is, and the table of those that are known by name.

A new format (YARA, Rego) is a class with the three members of :class:`RuleFormat`. An installed
package names it in the entry point group ``eventstore.rule_formats``; a program of its own calls
``register(YaraFormat())`` before it asks for the format. Those of this package are registered by
its ``__init__``.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeGuard

from eventstore.errors import ConfigError, EventStoreError, InvalidInputError
from eventstore.log.names import check_stream
from eventstore.system.entry_points import find_entry_points
from projections.rules.formats.scratch_names import scratch_kind
from projections.rules.model import NO_LINKS, Links

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eventstore.system.entry_points import EntryPoint
    from projections.rules.model import CompiledRule

GROUP: Final = "eventstore.rule_formats"
"""The entry point group by which installed packages bring formats of their own."""

log = logging.getLogger(__name__)


class RuleFormatError(EventStoreError):
    """A file cannot be taken as a rule; the last good version of the rule stays.

    ``path`` is the file, ``reason`` says what is wrong with it, ``line`` counts from 1 and
    is None where no single line is to blame.
    """

    def __init__(self, path: str, reason: str, line: int | None = None) -> None:
        where = path if line is None else f"{path}:{line}"
        super().__init__(f"{where}: {reason}")
        self.path, self.reason, self.line = path, reason, line


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
        """Which files are of the format, unless the user says otherwise.

        Matched on whole base names; :func:`files_ending` makes it of endings. Scratch files of
        other programs never count, see :mod:`projections.rules.formats.scratch_names`.
        """

    def read(self, path: str, content: bytes) -> ParsedRule:
        """Turn one file into its rule; ``path`` is relative to the tree, with ``/``.

        The caller limits the size of ``content``. Raises
        :class:`RuleFormatError`, and nothing else, for any bytes of a file.
        """


class ManyRulesFormat(RuleFormat, Protocol):
    """A format whose files may hold several rules, which may refer to each other."""

    def canonical_id(self, rule_id: str) -> str:
        """Return the spelling that :meth:`read_all` gives to an id; equal ids have one."""

    def read_all(self, path: str, content: bytes) -> tuple[ParsedRule, ...]:
        """Turn one file into its rules, at least one, each with an id of its own.

        Equal content gives the same ids in any order of the rules. Raises
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
_unusable: set[str] = set()
"""Names of entry points whose format could not be used, or whose name was taken."""


def files_ending(*endings: str) -> re.Pattern[str]:
    """Return the pattern of all file names with one of these endings, in any case.

    An ending begins with its dot (``".yml"``). Without any, every name matches.
    """
    ending = "|".join(re.escape(one) for one in endings)
    return re.compile(f".+(?:{ending})", re.DOTALL | re.IGNORECASE)


def register(rule_format: RuleFormat) -> None:
    """Make a format known by its name; raise ConfigError where the name is taken."""
    if rule_format.name in _formats:
        raise ConfigError(f"rule format {rule_format.name!r} is registered already")
    _formats[rule_format.name] = rule_format


def get_format(name: str) -> RuleFormat:
    """Return the format of that name; raise ConfigError naming the known ones."""
    load_installed_formats()
    try:
        return _formats[name]
    except KeyError:
        raise ConfigError(
            f"unknown rule format {name!r}: known are {', '.join(known_formats())}"
        ) from None


def known_formats() -> tuple[str, ...]:
    """Names of all formats, sorted: those that are registered, and those of installed packages.

    Nothing is imported for it, so a format that cannot be used is among them until one is asked
    for.
    """
    return tuple(sorted(_formats.keys() | {entry.name for entry in _entries()} - _unusable))


@cache
def load_installed_formats() -> tuple[str, ...]:
    """Register the formats of installed packages, once per process; return what was wrong.

    Packages are taken in the order of their names. One whose format cannot be used, or whose
    format has a name that is taken, is one warning that names its distribution; the rest works.
    """
    warnings = []
    for entry in _entries():
        try:
            register(_load(entry))
        except (Exception, SystemExit) as error:  # Another package may raise anything.
            reason = str(error) if isinstance(error, ConfigError) else _one_line(error)
            warnings.append(
                f"distribution {entry.distribution!r}: its rule format {entry.name!r} "
                f"({entry.value}) cannot be used: {reason}"
            )
            log.warning("%s", warnings[-1])
            _unusable.add(entry.name)
    return tuple(warnings)


def _entries() -> list[EntryPoint]:
    return sorted(find_entry_points(GROUP), key=lambda one: (one.distribution, one.name))


def _load(entry: EntryPoint) -> RuleFormat:
    """Return the format that an entry point names: an instance, or a class to be called."""
    found = entry.load()
    rule_format: RuleFormat = found() if isinstance(found, type) else found
    if rule_format.name != entry.name:
        raise ConfigError(f"its name is {rule_format.name!r}, not that of the entry point")
    if not isinstance(rule_format.filename, re.Pattern):
        raise ConfigError("its filename must be a compiled pattern")
    if not callable(rule_format.read):
        raise ConfigError("its read must be a method")
    return rule_format


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def is_rule_file(name: str, allowed: re.Pattern[str]) -> bool:
    """Whether a file of this base name counts as a rule.

    ``allowed`` is a format's ``filename`` or the user's own pattern; however wide that is,
    scratch files never count.
    """
    return allowed.fullmatch(name) is not None and scratch_kind(name) is None


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
