"""The values of the store of memories, and their checks."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias, TypeVar

from eventstore.errors import InvalidInputError
from projections.seams.checks import check_number, check_optional_text, check_text

if TYPE_CHECKING:
    from datetime import datetime
    from typing import Self

E = TypeVar("E", bound=Enum)

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,255}", re.ASCII)

Seconds: TypeAlias = int | float
"""A time in seconds since the Unix epoch; integers stay integers."""


class _Name(StrEnum):
    """A name that is read in every spelling that differs in case, or in ``_`` for ``-``."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        plain = value.value if isinstance(value, Enum) else value
        if not isinstance(plain, str):
            return None
        canonical = plain.strip().lower().replace("_", "-")
        return next((one for one in cls if one.value == canonical), None)


class Namespace(_Name):
    """What kind of knowledge a memory is, by its canonical name."""

    DECISIONS = "decisions"
    PATTERNS = "patterns"
    LEARNINGS = "learnings"
    CONTEXT = "context"
    TECH_DEBT = "tech-debt"
    BLOCKERS = "blockers"
    PROGRESS = "progress"
    APIS = "apis"
    CONFIG = "config"
    SECURITY = "security"
    PERFORMANCE = "performance"
    TESTING = "testing"
    HELP = "help"
    PROMPTS = "prompts"


class Status(_Name):
    """The state of a memory. The store keeps it and acts on none of them."""

    ACTIVE = "active"
    ARCHIVED = "archived"
    SUPERSEDED = "superseded"
    PENDING = "pending"
    DELETED = "deleted"
    TOMBSTONED = "tombstoned"
    CONSOLIDATED = "consolidated"


@dataclass(frozen=True, slots=True)
class Domain:
    """Whose memory it is."""

    organization: str | None = None
    project: str | None = None
    repository: str | None = None


@dataclass(slots=True)
class Memory:
    """One memory, as the store keeps it: every field comes back exactly as it was.

    Times are Unix seconds that the caller sets. The store changes and hides nothing, so reads
    return an expired or tombstoned memory until it is deleted. A namespace or status may be
    given by its name in any case, with ``_`` for ``-`` (``tech_debt``, ``Decisions``), or as a
    member of an enumeration of yours; it becomes the canonical one. A domain may be a mapping,
    and a list any iterable.
    ``None`` and an empty list or text are different things. Raises InvalidInputError, a
    ValueError, for a namespace or status that is not known; the rest is checked by
    :meth:`MemoryStore.store <projections.memories.MemoryStore.store>`.
    """

    id: str
    content: str
    namespace: Namespace
    domain: Domain = field(default_factory=Domain)
    project_id: str | None = None
    branch: str | None = None
    file_path: str | None = None
    status: Status = Status.ACTIVE
    created_at: Seconds = field(default_factory=time.time)
    updated_at: Seconds = field(default_factory=time.time)
    tombstoned_at: Seconds | None = None
    expires_at: Seconds | None = None
    embedding: list[Seconds] | None = None
    tags: list[str] = field(default_factory=list)
    source: str | None = None
    is_summary: bool = False
    source_memory_ids: list[str] | None = None
    consolidation_timestamp: Seconds | None = None

    def __post_init__(self) -> None:
        self.namespace = _member(Namespace, "namespace", self.namespace)
        self.status = _member(Status, "status", self.status)
        domain: object = self.domain
        if isinstance(domain, Mapping):
            try:
                self.domain = Domain(**domain)
            except TypeError as error:
                raise InvalidInputError("domain", str(error)) from error
        elif not isinstance(domain, Domain) and all(
            hasattr(domain, one.name) for one in fields(Domain)
        ):
            self.domain = Domain(*(getattr(domain, one.name) for one in fields(Domain)))
        embedding: Any = self.embedding
        # An array's ``tolist`` gives Python numbers.
        self.embedding = embedding.tolist() if hasattr(embedding, "tolist") else _list(embedding)
        self.tags = _list(self.tags)
        self.source_memory_ids = _list(self.source_memory_ids)


ChangeKind: TypeAlias = Literal["stored", "deleted", "redacted"]
"""What a change does; see :class:`MemoryChange`."""


class MemoryChange(NamedTuple):
    """One logged change of a memory.

    ``stored`` carries the memory as it was stored, ``deleted`` only its id. ``redacted``
    says that content of it was erased from the log: get it again. ``at``
    is when it was recorded (aware, UTC), ``by`` who wrote it, ``position`` its place in the
    log.
    """

    kind: ChangeKind
    memory_id: str
    memory: Memory | None
    position: int
    at: datetime
    by: str | None


def is_id(memory_id: object) -> bool:
    """Return whether a memory may have this id; see :func:`check_id`."""
    return isinstance(memory_id, str) and _ID.fullmatch(memory_id) is not None


def check_id(memory_id: object) -> str:
    """Return an id: 1 to 255 of the ASCII letters and digits, ``-`` and ``_``.

    Raises InvalidInputError for anything else. Letters of other alphabets are refused,
    because two of them may look the same and file systems may treat them as equal.
    """
    if not isinstance(memory_id, str) or not is_id(memory_id):
        raise InvalidInputError(
            "memory id",
            f"{memory_id!r:.80} is not 1 to 255 letters (A to Z), digits, '-' and '_'",
        )
    return memory_id


def check_memory(memory: object) -> Memory:
    """Return a copy of a memory, or of an object with its fields, that every backend keeps exactly.

    Raises InvalidInputError, naming the field, for what no backend can hold: NaN and infinities,
    lone surrogates, values of another type.
    """
    try:
        # Also one of the caller's own class, with the same fields.
        values = [getattr(memory, one.name) for one in fields(Memory)]
    except AttributeError as error:
        reason = f"must be a Memory, or have all its fields, not {memory!r:.80}"
        raise InvalidInputError("memory", reason) from error
    copy = Memory(*values)
    check_id(copy.id)
    check_text("content", copy.content)
    _check_domain(copy.domain)
    for name in ("project_id", "branch", "file_path", "source"):
        check_optional_text(name, getattr(copy, name))
    for name in ("created_at", "updated_at"):
        check_number(name, getattr(copy, name))
    for name in ("tombstoned_at", "expires_at", "consolidation_timestamp"):
        if getattr(copy, name) is not None:
            check_number(name, getattr(copy, name))
    is_summary: object = copy.is_summary
    if not isinstance(is_summary, bool):
        raise InvalidInputError("is_summary", f"must be True or False, not {is_summary!r:.80}")
    for name in ("tags", "source_memory_ids"):
        for text in getattr(copy, name) or ():
            check_text(name, text)
    _check_embedding(copy.embedding)
    return copy


def _check_domain(domain: object) -> None:
    if not isinstance(domain, Domain):
        raise InvalidInputError("domain", f"must be a Domain, not {domain!r:.80}")
    for one in fields(domain):
        check_optional_text(f"domain.{one.name}", getattr(domain, one.name))


def _check_embedding(embedding: list[Seconds] | None) -> None:
    # Checks thousands of plain numbers at once, and one by one only to name a bad one.
    if not embedding or (
        set(map(type, embedding)) == {float} and all(map(math.isfinite, embedding))
    ):
        return
    for index, number in enumerate(embedding):
        check_number(f"embedding[{index}]", number)


def _member(kind: type[E], what: str, value: object) -> E:
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(str(one.value) for one in kind)
        raise InvalidInputError(what, f"{value!r:.80} is none of {known}") from None


def _list(value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, str | bytes) or not hasattr(value, "__iter__"):
        raise InvalidInputError("memory", f"{value!r:.80} is no list")
    return list(value)
