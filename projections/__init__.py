"""Everything that is computed from the log: files on disk, tables, and what they serve."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from projections.directory import DirectoryProjection
    from projections.protocol import OutdatedViewError, Projection, ProjectionBusyError
    from projections.runner import ProjectionRunner
    from projections.tables.projection import TableProjection

__all__ = [
    "DirectoryProjection",
    "OutdatedViewError",
    "Projection",
    "ProjectionBusyError",
    "ProjectionRunner",
    "TableProjection",
]

_MODULES: Final = {
    "DirectoryProjection": "projections.directory",
    "OutdatedViewError": "projections.protocol",
    "Projection": "projections.protocol",
    "ProjectionBusyError": "projections.protocol",
    "ProjectionRunner": "projections.runner",
    "TableProjection": "projections.tables.projection",
}
"""Where each public name is: imported at its first use, so that the manifest is read alone."""


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
