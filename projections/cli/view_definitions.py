"""Where views are defined: by the word of a user, or as the installed packages say."""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from eventstore.cli.contributions import contributions
from eventstore.errors import ConfigError, InvalidInputError
from projections.cli.view_places import Database
from projections.tables.projection import TableProjection


def view_names() -> list[str]:
    """Return the names of the views that installed packages define."""
    return list(contributions().views)


Name = Annotated[
    str,
    typer.Argument(help="The view, as 'eventstore views' lists it.", autocompletion=view_names),
]


@dataclass(frozen=True, slots=True)
class ViewOptions:
    """Where a view is defined, and where it is."""

    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="MODULE:CLASS",
            help="Where the view is defined, from the working directory on.",
        ),
    ] = None
    database: Database = None
    upcasters: Annotated[
        str | None,
        typer.Option(metavar="MODULE:NAME", help="The Upcasters that the program opens it with."),
    ] = None


def load_view(name: str, given: str | None) -> TableProjection:
    """Return the view that is to be built; raise ConfigError for what is none.

    ``given`` says where it is defined; by default the manifest of a package that is installed.
    """
    known = contributions().views.get(name)
    if given is not None:
        path, found = f"--from {given}", _import("--from", given)
    elif known is not None:
        path, found = known.item.path, known.load(known.item.path)
    else:
        raise InvalidInputError(
            f"view {name!r}",
            "is not known: say with --from where it is defined, or name it in the manifest of its "
            "package (docs/extending.md)",
        )
    try:
        projection = found() if callable(found) else found
    except Exception as error:
        raise ConfigError(f"{path}: calling it raised {error!r}") from error
    if not isinstance(projection, TableProjection):
        raise ConfigError(f"{path} is no TableProjection, and returns none")
    if projection.name != name:
        raise InvalidInputError(f"view {name!r}", f"{path} is the view {projection.name!r}")
    return projection


def load_upcasters(name: str, from_: str | None, given: str | None) -> Any:
    """Return the upcasters that a view's program opens its log with.

    ``given`` names them; by default, without ``from_``, the manifest of the view's package.
    """
    if given is not None:
        return _import("--upcasters", given)
    known = contributions().views.get(name)
    if from_ is None and known is not None and known.item.upcasters:
        return known.load(known.item.upcasters)
    return None


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
