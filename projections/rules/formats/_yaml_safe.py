"""The one place where YAML is read: into exact JSON values, or into a reason and a line.

Rule files come from people and, through pull requests, from unknown ones. PyYAML's own
composer is recursive in C, so that enough nested brackets crash the interpreter, and it
lets the last of two equal keys win. Here the parser's events become values in one pass
over a stack of our own, which is safe at any depth and also faster.

The scalars are those of YAML 1.1 as PyYAML reads them (``yes`` is true, ``010`` is 8),
with one difference: a date stays the text that was written. Of tags those of JSON's types are
taken (``!!str``, ``!!int``, …), and ``<<`` merges mappings.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn, TypeAlias

import yaml

from eventstore import limits
from projections.rules.formats.base import RuleFormatError

MAX_DEPTH: Final = 64
"""Deepest nesting of lists and mappings; real rules stay under ten."""

MAX_WEIGHT: Final = limits.MAX_EVENT_BYTES
"""Heaviest file, aliases counted as often as they are used.

A value weighs its characters and :data:`VALUE_WEIGHT`; what is heavier than the largest
event could not be stored anyway, and refusing it early is what defuses alias bombs.
"""

VALUE_WEIGHT: Final = 16
"""What a value weighs beside its characters: about its share of memory as an object."""

MAX_NUMBER: Final = 400
"""Longest number, in characters; PyYAML takes quadratic time for long base-60 ones."""

_Container: TypeAlias = "dict[str, Any] | list[Any]"
_TAG: Final = "tag:yaml.org,2002:"
_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
_MAPPING_TAG: Final = _TAG + "map"
_SEQUENCE_TAG: Final = _TAG + "seq"
_BOOLS: Final = yaml.CSafeLoader.bool_values


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document: its value, and where each part of it was written."""

    value: Any
    line: int
    """First line of the document's value, from 1."""
    lines: dict[tuple[int, str | int], int] = field(repr=False)

    def line_of(self, container: _Container, key: str | int) -> int | None:
        """Line of a key of one of this document's mappings, or of an item of its lists."""
        return self.lines.get((id(container), key))


def load(path: str, content: bytes) -> Document:
    """Read a file of exactly one document; raise RuleFormatError for anything else."""
    documents = load_all(path, content)
    if not documents:
        raise RuleFormatError(path, "is empty")
    if len(documents) > 1:
        raise RuleFormatError(path, "a second document starts here", documents[1].line)
    return documents[0]


def load_all(path: str, content: bytes) -> list[Document]:
    """Read a file of any number of documents, leaving out empty ones.

    Raises :class:`RuleFormatError` with the line for what is not UTF-8 or not YAML, and
    for what JSON cannot hold exactly: keys that are no text, equal keys, tags, NaN and
    infinities, integers over 64 bits; also for too deep or too heavy documents.
    """
    _check_text(path, content)
    reader = _Reader(path, content)
    try:
        return [document for document in reader.documents() if document.value is not None]
    except yaml.reader.ReaderError as error:
        line = content[: error.position].count(b"\n") + 1
        raise RuleFormatError(path, f"not YAML: {error.reason}", line) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = ", ".join(part for part in (error.context, error.problem) if part)
        line_number = None if mark is None else mark.line + 1
        raise RuleFormatError(path, f"not YAML: {reason}", line_number) from error
    finally:
        reader.close()


def _check_text(path: str, content: bytes) -> None:
    try:
        content.decode()
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise RuleFormatError(path, "is not UTF-8", line) from error
    nul = content.find(b"\0")
    if nul >= 0:
        raise RuleFormatError(path, "contains a NUL byte", content[:nul].count(b"\n") + 1)


class _Merge:
    """Stands for the key ``<<`` while a mapping is read."""


_MERGE: Final = _Merge()


class _Frame:
    """A list or mapping that is still open."""

    __slots__ = ("anchor", "container", "height", "key", "merged", "weight_before")

    def __init__(self, container: _Container, anchor: str | None, weight_before: int) -> None:
        self.container = container
        self.anchor = anchor
        self.weight_before = weight_before
        self.height = 1
        self.key: str | _Merge | None = None
        self.merged: tuple[Any, Any] | None = None


@dataclass(frozen=True, slots=True)
class _Anchored:
    value: Any
    weight: int
    height: int


class _Reader:
    """Turns the events of one parser into documents."""

    def __init__(self, path: str, content: bytes) -> None:
        self._path = path
        self._loader = yaml.CSafeLoader(content)
        self._stack: list[_Frame] = []
        self._anchors: dict[str, _Anchored] = {}
        self._lines: dict[tuple[int, str | int], int] = {}
        self._weight = 0
        self._root: Any = None
        self._root_line = 1

    def close(self) -> None:
        self._loader.dispose()

    def documents(self) -> list[Document]:
        found: list[Document] = []
        next_event = self._loader.get_event
        while True:
            event = next_event()
            match event:
                case yaml.ScalarEvent():
                    self._add_scalar(event)
                case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                    self._open(event)
                case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                    self._close_frame()
                case yaml.AliasEvent():
                    self._add_alias(event)
                case yaml.DocumentEndEvent():
                    found.append(Document(self._root, self._root_line, self._lines))
                    self._anchors, self._lines = {}, {}
                case yaml.StreamEndEvent():
                    return found

    def _refuse(self, event: Any, reason: str) -> NoReturn:
        raise RuleFormatError(self._path, reason, event.start_mark.line + 1)

    def _add_scalar(self, event: yaml.ScalarEvent) -> None:
        text = event.value
        if event.tag is not None and event.tag != "!":
            value = self._tagged(event)
        else:
            value = self._resolve(event) if event.implicit[0] else text
        before = self._weight
        self._add_weight(event, VALUE_WEIGHT + len(text))
        if event.anchor is not None:
            self._anchors[event.anchor] = _Anchored(value, self._weight - before, 0)
        self._place(event, value)

    def _resolve(self, event: yaml.ScalarEvent) -> Any:
        """Give an unquoted scalar its YAML 1.1 meaning."""
        text = event.value
        candidates = _RESOLVERS.get(text[:1], ())
        tag = next((tag for tag, pattern in candidates if pattern.match(text)), "str")
        if tag == "str":
            return text
        if tag == "null":
            return None
        if tag == "bool":
            return _BOOLS[text.lower()]
        if tag == "merge":
            return self._merge_key(event)
        return self._number(event, tag)

    def _merge_key(self, event: yaml.ScalarEvent) -> _Merge:
        frame = self._stack[-1] if self._stack else None
        if frame is None or isinstance(frame.container, list) or frame.key is not None:
            self._refuse(event, "<< stands where no key is: put it in quotes")
        if frame.merged is not None:
            self._refuse(event, "the key << was given already: give it a list of mappings")
        return _MERGE

    def _tagged(self, event: yaml.ScalarEvent) -> Any:
        """Give a scalar the type that its tag says; exactly, or not at all."""
        text = event.value
        value: Any = None
        match (event.tag or "").removeprefix(_TAG):
            case "str":
                value = text
            case "int" | "float" as tag:
                value = self._number(event, tag)
            case "bool" if text.lower() in _BOOLS:
                value = _BOOLS[text.lower()]
            case tag if tag != "null" or text not in _NULLS:
                self._refuse(event, f"the tag {event.tag!r:.80} is not supported for {text!r:.60}")
        return value

    def _number(self, event: yaml.ScalarEvent, tag: str) -> int | float:
        node = yaml.ScalarNode(_TAG + tag, event.value)
        try:
            if len(event.value) > MAX_NUMBER:
                exact = False
            elif tag == "float":
                value = float(self._loader.construct_yaml_float(node))
                exact = math.isfinite(value)
            else:
                value = int(self._loader.construct_yaml_int(node))
                exact = -(2**63) <= value < 2**64
        except (ValueError, OverflowError, IndexError):
            exact = False
        if not exact:
            self._refuse(event, f"{event.value!r:.60} is a number that JSON cannot hold: quote it")
        return value

    def _open(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent) -> None:
        is_mapping = isinstance(event, yaml.MappingStartEvent)
        if event.tag not in (None, _MAPPING_TAG if is_mapping else _SEQUENCE_TAG):
            self._refuse(event, f"the tag {event.tag!r:.80} is not supported")
        if len(self._stack) >= MAX_DEPTH:
            self._refuse(event, f"is nested more than {MAX_DEPTH} levels deep")
        container: _Container = {} if is_mapping else []
        before = self._weight
        self._add_weight(event, VALUE_WEIGHT)
        self._place(event, container)
        self._stack.append(_Frame(container, event.anchor, before))

    def _close_frame(self) -> None:
        frame = self._stack.pop()
        if frame.merged is not None:
            self._merge(frame.container, *frame.merged)
        if frame.anchor is not None:
            self._anchors[frame.anchor] = _Anchored(
                frame.container, self._weight - frame.weight_before, frame.height
            )
        if self._stack:
            parent = self._stack[-1]
            parent.height = max(parent.height, frame.height + 1)

    def _merge(self, mapping: _Container, event: Any, named: Any) -> None:
        """Add the keys of what ``<<`` names: own keys prevail, then earlier mappings."""
        sources = named if isinstance(named, list) else [named]
        if not isinstance(mapping, dict) or not all(isinstance(one, dict) for one in sources):
            self._refuse(event, "<< must name a mapping, or a list of mappings")
        for source in sources:
            for key, value in source.items():
                mapping.setdefault(key, value)

    def _add_alias(self, event: yaml.AliasEvent) -> None:
        """Use an anchored value again: shared, never copied, weighed once more."""
        name = event.anchor or ""
        anchored = self._anchors.get(name)
        if any(frame.anchor == name for frame in self._stack):
            self._refuse(event, f"the alias *{name} stands inside of what it refers to")
        if anchored is None:
            self._refuse(event, f"the alias *{name} refers to nothing")
        if len(self._stack) + anchored.height > MAX_DEPTH:
            self._refuse(event, f"is nested more than {MAX_DEPTH} levels deep")
        self._add_weight(event, anchored.weight)
        self._place(event, anchored.value)
        if self._stack:
            parent = self._stack[-1]
            parent.height = max(parent.height, anchored.height + 1)

    def _add_weight(self, event: Any, weight: int) -> None:
        self._weight += weight
        if self._weight > MAX_WEIGHT:
            self._refuse(event, "is too large once its aliases are expanded")

    def _place(self, event: Any, value: Any) -> None:
        """Put a value where it belongs: as root, list item, key, or value of a key."""
        line = event.start_mark.line + 1
        if not self._stack:
            self._root, self._root_line = value, line
            return
        frame = self._stack[-1]
        container = frame.container
        if isinstance(container, list):
            self._lines[id(container), len(container)] = line
            container.append(value)
        elif frame.key is None:
            if value is _MERGE:
                frame.key = _MERGE
                return
            frame.key = self._check_key(event, container, value)
            self._lines[id(container), value] = line
        elif isinstance(frame.key, _Merge):
            frame.merged, frame.key = (event, value), None
        else:
            container[frame.key] = value
            frame.key = None

    def _check_key(self, event: Any, mapping: dict[str, Any], key: Any) -> str:
        if not isinstance(key, str):
            shown = "a list or mapping" if isinstance(key, dict | list) else repr(key)[:60]
            self._refuse(event, f"a key must be a text, not {shown}: put it in quotes")
        if key in mapping:
            first = self._lines[id(mapping), key]
            self._refuse(event, f"the key {key!r:.80} was given on line {first} already")
        return key


def _implicit_resolvers() -> dict[str, tuple[tuple[str, Any], ...]]:
    """PyYAML's patterns by first character, less the timestamp's: dates stay texts."""
    table = yaml.CSafeLoader.yaml_implicit_resolvers
    return {
        first: tuple(
            (tag.removeprefix(_TAG), pattern)
            for tag, pattern in entries
            if tag.removeprefix(_TAG) in {"null", "bool", "int", "float", "merge"}
        )
        for first, entries in table.items()
    }


_RESOLVERS: Final = _implicit_resolvers()
