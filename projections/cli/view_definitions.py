"""Where views are defined: by the word of a user, or as the installed packages say."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from eventstore.errors import ConfigError, InvalidInputError
from projections.tables.projection import TableProjection

KNOWN: Final = {
    "journal": "projections.journal.tables:JournalTables",
    "memories": "projections.memories.tables:MemoryTables",
    "registry": "projections.registry.tables:RegistryTables",
    "rules": "projections.rules.tables:RuleTables",
}
"""Where the views of this package are defined."""

Name = Annotated[str, typer.Argument(help="The view, as 'eventstore views' lists it.")]
From = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="MODULE:CLASS",
        help="Where the view is defined, from the working directory on.",
    ),
]
Upcast = Annotated[
    str | None,
    typer.Option(
        "--upcasters", metavar="MODULE:NAME", help="The Upcasters that the program opens it with."
    ),
]


def load_view(name: str, given: str | None) -> TableProjection:
    """Return the view that is to be built; raise ConfigError for what is none."""
    path = given or KNOWN.get(name)
    if path is None:
        raise InvalidInputError(
            f"view {name!r}", "is not known: say with --from where it is defined"
        )
    found = _import("--from", path)
    try:
        projection = found() if callable(found) else found
    except Exception as error:
        raise ConfigError(f"--from {path}: calling it raised {error!r}") from error
    if not isinstance(projection, TableProjection):
        raise ConfigError(f"--from {path} is no TableProjection, and returns none")
    if projection.name != name:
        raise InvalidInputError(f"view {name!r}", f"{path} is the view {projection.name!r}")
    return projection


def load_upcasters(given: str | None) -> Any:
    """Return the upcasters that a program opens its log with."""
    return None if given is None else _import("--upcasters", given)


def _import(option: str, path: str) -> Any:
    module, _, attribute = path.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return getattr(importlib.import_module(module), attribute)
    except (Exception, SystemExit) as error:
        raise ConfigError(
            f"{option} {path!r} cannot be imported: {type(error).__name__}: {error}; "
            "give MODULE:NAME, from the working directory on"
        ) from error
