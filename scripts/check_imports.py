"""Check imports that import-linter has no contract for: circles, and private modules.

``python scripts/check_imports.py [PACKAGE ...]``, from the root of the repository, prints one
line for each fault and ends with 1 if there is any:

- modules that import each other in a circle, imports for type checkers included;
- a module whose name, or a package above it, begins with ``_`` and that is imported from outside
  of the package it lies in.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Final, TypeAlias

import grimp

PACKAGES: Final = ("eventstore", "projections")

Imports: TypeAlias = Mapping[str, AbstractSet[str]]
"""The modules that each module imports."""


def read_imports(packages: tuple[str, ...]) -> Imports:
    """Return the imports among the modules of packages that can be found on ``sys.path``."""
    first, *others = packages
    graph = grimp.build_graph(first, *others, exclude_type_checking_imports=False, cache_dir=None)
    return {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}


def owner(module: str) -> str | None:
    """Return the package whose modules may import ``module``; ``None`` if all may."""
    names = module.split(".")
    private = [
        place
        for place, name in enumerate(names)
        if name.startswith("_") and not name.startswith("__")
    ]
    return ".".join(names[: private[-1]]) if private else None


def private_imports(imports: Imports) -> Iterator[str]:
    """Yield a line for each import of a private module from outside of its package."""
    for importer in sorted(imports):
        for imported in sorted(imports[importer]):
            package = owner(imported)
            if package is not None and not f"{importer}.".startswith(f"{package}."):
                yield f"{importer} imports {imported}, which is private to {package}"


def circles(imports: Imports) -> Iterator[str]:
    """Yield a line for each set of modules that can reach each other by imports."""
    reachable = {name: _reachable(imports, name) for name in imports}
    seen: set[str] = set()
    for name in sorted(imports):
        if name in reachable[name] and name not in seen:
            circle = {other for other in reachable[name] if name in reachable[other]}
            seen |= circle
            yield f"circle of imports: {', '.join(sorted(circle))}"


def _reachable(imports: Imports, start: str) -> set[str]:
    found: set[str] = set()
    todo = list(imports[start])
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += imports.get(name, ())
    return found


def find_faults(packages: tuple[str, ...]) -> list[str]:
    """Return a line for each fault; a check that finds nothing to check is one as well."""
    imports = read_imports(packages)
    if not any(imports.values()):
        return [f"no imports were found in {', '.join(packages)}: is this the root?"]
    return [*private_imports(imports), *circles(imports)]


def main(arguments: list[str]) -> int:
    """Print the faults; return the exit status."""
    sys.path.insert(0, str(Path.cwd()))
    faults = find_faults(tuple(arguments) or PACKAGES)
    for fault in faults:
        print(fault)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
