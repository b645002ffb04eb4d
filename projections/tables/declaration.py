"""What a table projection declares, checked before its tables are made or looked at."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import MetaData

from eventstore.errors import ConfigError, ProjectionTableError
from eventstore.log.projection_checks import check_plain, check_projection_name
from eventstore.storage.reserved_names import is_reserved
from projections.handlers import Handlers, check_version

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Table

METHODS: Final = ("handle", "handle_group", "group", "erase")
ON_ERROR: Final = ("stop", "set_aside")


def check_declaration(projection: Any, identifier_bytes: int | None, base: type) -> None:
    """Raise ConfigError for a name, version, tables or methods that cannot be used.

    ``identifier_bytes`` is how many bytes of a name the database tells apart, ``None`` for all.
    ``base`` is the class that all projections have.
    """
    name = check_projection_name(type(projection).__name__, getattr(projection, "name", None))
    check_version(name, getattr(projection, "version", None))
    if getattr(projection, "on_error", None) not in ON_ERROR:
        raise ConfigError(
            f"projection {name!r} has no on_error of {' or '.join(map(repr, ON_ERROR))}: give one, "
            "and let its own __init__ call super().__init__(on_error=…)"
        )
    check_plain(projection, METHODS)
    inherited = type(projection).handle is vars(base)["handle"]
    if inherited and not Handlers(type(projection), projection.event_types):
        raise ConfigError(
            f"projection {name!r} does nothing with events: mark methods with @handles, or define "
            "handle()"
        )
    metadata = getattr(projection, "metadata", None)
    if not isinstance(metadata, MetaData):
        raise ConfigError(
            f"projection {name!r} has no metadata: set metadata to an SQLAlchemy MetaData that "
            "holds its own tables and no others"
        )
    seen: dict[str, str] = {}
    for table in metadata.tables.values():
        _check_table(name, table, identifier_bytes)
        other = seen.setdefault(table.name.casefold(), table.name)
        if other != table.name:
            raise ProjectionTableError(
                name, table.name, f"differs from {other!r} in case only: name it otherwise"
            )


def _check_table(name: str, table: Table, identifier_bytes: int | None) -> None:
    if is_reserved(table.name):
        raise ProjectionTableError(
            name, table.name, "has a name that the log's own tables have: name it otherwise"
        )
    if table.schema is not None:
        raise ProjectionTableError(
            name,
            table.name,
            f"names the schema {table.schema!r}: leave it out, and set the search_path of the URL",
        )
    if len(table.columns) == 0:
        raise ProjectionTableError(name, table.name, "has no columns: declare them")
    for identifier in _identifiers(table):
        if not identifier or any(unicodedata.category(c) in {"Cc", "Cs"} for c in identifier):
            raise ProjectionTableError(
                name, table.name, f"uses {identifier!r:.80}, which is no name: it has no "
                "characters, or control characters",
            )  # fmt: skip
        size = len(identifier.encode())
        if identifier_bytes is not None and size > identifier_bytes:
            raise ProjectionTableError(
                name, table.name, f"uses {identifier[:40]!r}…, a name of {size} bytes: "
                f"PostgreSQL tells {identifier_bytes} of them apart",
            )  # fmt: skip


def _identifiers(table: Table) -> Iterator[str]:
    yield table.name
    for column in table.columns:
        yield column.name
    for named in (index.name for index in table.indexes):
        if named is not None:
            yield str(named)
    for constraint in table.constraints:
        if isinstance(constraint.name, str):
            yield str(constraint.name)
