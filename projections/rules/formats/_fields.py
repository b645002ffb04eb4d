"""Reading a rule's fields one by one, so that each error names rule, field and line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eventstore.errors import InvalidInputError
from projections.rules.formats.base import Remark, RuleFormatError
from projections.seams.checks import check_number

if TYPE_CHECKING:
    from projections.rules.formats._yaml_safe import Document


class Fields:
    """One mapping of a YAML document.

    ``owner`` names the rule in messages and ``prefix`` the place of the mapping within it
    (``"emits[1]."``); ``line`` is where the mapping starts, which is what a missing field
    is blamed on. Every method raises :class:`RuleFormatError`.
    """

    def __init__(
        self,
        path: str,
        document: Document,
        mapping: object,
        *,
        owner: str,
        prefix: str = "",
        line: int | None = None,
    ) -> None:
        self.owner = owner
        self._path = path
        self._document = document
        self._prefix = prefix
        self._line = document.line if line is None else line
        if not isinstance(mapping, dict):
            where = f"{owner}: {prefix[:-1]}" if prefix else owner
            reason = f"{where} must be a mapping, not {show(mapping)}"
            raise RuleFormatError(path, reason, self._line)
        self.mapping: dict[str, Any] = mapping

    def error(self, field: str, reason: str) -> RuleFormatError:
        """Build the error that blames ``field``."""
        text, line = self.remark(field, reason)
        return RuleFormatError(self._path, text, line)

    def remark(self, field: str, reason: str) -> Remark:
        """Build the remark that blames ``field``."""
        line = self._document.line_of(self.mapping, field) or self._line
        return Remark(f"{self.owner}: {self._prefix}{field} {reason}", line)

    def required(self, field: str) -> Any:
        """Return the value, which must be there and not null."""
        value = self.mapping.get(field)
        if value is None:
            raise self.error(field, "is missing")
        return value

    def text(self, field: str) -> str:
        """Return a text that must be there and not blank."""
        value = self.required(field)
        if not isinstance(value, str):
            raise self.error(field, f"must be a text, not {show(value)}: put it in quotes")
        if not value.strip():
            raise self.error(field, "is empty")
        return value

    def optional_text(self, field: str) -> str | None:
        """Return a text, or None where it is absent or null."""
        value = self.mapping.get(field)
        if value is not None and not isinstance(value, str):
            raise self.error(field, f"must be a text, not {show(value)}: put it in quotes")
        return value

    def version(self, field: str) -> int:
        """Return an integer of at least 1 that must be there."""
        value = self.required(field)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self.error(field, f"must be a whole number from 1, not {show(value)}")
        return value

    def number(self, field: str) -> int | float:
        """Return a finite number that must be there."""
        value = self.required(field)
        try:
            return check_number(field, value)
        except InvalidInputError as error:
            raise self.error(field, error.reason) from error

    def entries(self, field: str) -> list[Any]:
        """Return a list that must be there."""
        value = self.required(field)
        if not isinstance(value, list):
            raise self.error(field, f"must be a list, not {show(value)}")
        return value

    def texts(self, field: str) -> list[str]:
        """Return a list of texts that must be there."""
        values = self.entries(field)
        for index, value in enumerate(values):
            if not isinstance(value, str):
                line = self._document.line_of(values, index) or self._line
                reason = f"{self._prefix}{field}[{index}] must be a text, not {show(value)}"
                raise RuleFormatError(self._path, f"{self.owner}: {reason}", line)
        return values

    def optional_texts(self, field: str) -> list[str]:
        """Return a list of texts, empty where it is absent or null."""
        return [] if self.mapping.get(field) is None else self.texts(field)

    def mapping_at(self, field: str) -> dict[str, Any]:
        """Return a mapping that must be there."""
        value = self.required(field)
        if not isinstance(value, dict):
            raise self.error(field, f"must be a mapping, not {show(value)}")
        return value

    def child(self, field: str) -> Fields:
        """Return a mapping that must be there, to be read in turn."""
        value = self.mapping_at(field)
        line = self._document.line_of(self.mapping, field) or self._line
        return self._inner(value, f"{self._prefix}{field}.", line)

    def children(self, field: str) -> list[Fields]:
        """Return a list of mappings that must be there, each to be read in turn."""
        values = self.entries(field)
        return [
            self._inner(
                value,
                f"{self._prefix}{field}[{index}].",
                self._document.line_of(values, index) or self._line,
            )
            for index, value in enumerate(values)
        ]

    def _inner(self, value: object, prefix: str, line: int) -> Fields:
        return Fields(self._path, self._document, value, owner=self.owner, prefix=prefix, line=line)


def show(value: object) -> str:
    """Name a value in a message, without spilling a whole file into a log line."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return "nothing" if value is None else repr(value)[:60]
