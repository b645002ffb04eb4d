"""Entry points of installed packages, read without :mod:`importlib.metadata`.

That module imports those for e-mail and archives, which take a fifth of the time of ``--help``. It
is used where packages may be installed in another way than as directories on the path.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from functools import reduce
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from eventstore.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

_INFO: Final = (".dist-info", ".egg-info")
_VALUE: Final = re.compile(r"([\w.]+)\s*(?::\s*([\w.]+)\s*)?(?:\[.*\]\s*)?")


class EntryPoint(NamedTuple):
    """What a package offers by a name; ``value`` is ``module:attribute``."""

    distribution: str
    """The package's name; its value's first part where it says none."""
    name: str
    value: str

    def load(self) -> Any:
        """Import what it names; raise what that raises, and ValueError for a value that is none."""
        found = _VALUE.fullmatch(self.value)
        if found is None:
            raise ValueError(f"{self.value!r} is no module:attribute")
        module, attributes = importlib.import_module(found[1]), found[2]
        return reduce(getattr, attributes.split("."), module) if attributes else module


def find_entry_points(group: str) -> list[EntryPoint]:
    """Return the entry points of a group, of each package the one that comes first on the path."""
    if _only_directories():
        infos = _infos()
        return [one for info in infos for one in _read(info, group)]
    from importlib.metadata import entry_points  # noqa: PLC0415 - see the module

    return [
        EntryPoint(one.dist.name if one.dist else _first_part(one.value), one.name, one.value)
        for one in entry_points(group=group)
    ]


def import_path(distribution: str, path: str) -> Any:
    """Import what a package's manifest names as ``module:name``.

    Raises ConfigError, which names the distribution, for anything that goes wrong.
    """
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except ConfigError:
        raise
    except (Exception, SystemExit) as error:
        raise ConfigError(
            f"distribution {distribution!r}: {path} cannot be imported: "
            f"{type(error).__name__}: {error}"
        ) from error


def _only_directories() -> bool:
    """Whether all that is installed lies in directories on the path, and not in eggs."""
    for finder in sys.meta_path:
        if finder is not PathFinder and hasattr(finder, "find_distributions"):
            return False
    return not any(path.endswith(".egg") or os.path.isfile(path) for path in sys.path)  # noqa: PTH113


def _infos() -> list[str]:
    """Return the directories that describe packages, one for each name."""
    found: dict[str, str] = {}
    for path in sys.path:
        try:
            names = os.listdir(path or ".")  # noqa: PTH208 - in each start
        except OSError:
            continue
        for name in names:
            if name.lower().endswith(_INFO):
                package = re.sub(r"[-_.]+", "_", name.rpartition(".")[0].partition("-")[0]).lower()
                found.setdefault(package, os.path.join(path, name))  # noqa: PTH118
    return list(found.values())


def _read(info: str, group: str) -> Iterator[EntryPoint]:
    try:
        text = Path(info, "entry_points.txt").read_text("utf-8", "replace")
    except OSError:  # Most packages have none.
        return
    section = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
        elif section == group and "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            package = _package_name(info) or _first_part(value.strip())
            yield EntryPoint(package, name.strip(), value.strip())


def _package_name(info: str) -> str:
    """Return the name that a package gives itself; empty where it gives none."""
    for file in ("METADATA", "PKG-INFO"):
        try:
            text = Path(info, file).read_text("utf-8", "replace")
        except OSError:
            continue
        head = text.partition("\n\n")[0]
        if found := re.search(r"^Name:\s*(\S+)", head, re.MULTILINE | re.IGNORECASE):
            return found[1]
    return ""


def _first_part(value: str) -> str:
    return value.partition(".")[0]
