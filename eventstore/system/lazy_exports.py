"""Public names of a package that are imported at their first use."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def lazy_exports(
    package: str, public: list[str], modules: Mapping[str, str]
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Return a package's ``__getattr__`` and its ``__dir__``, which lists the ``public`` names.

    ``modules`` says in which module each name is. The package assigns the functions where type
    checkers do not look, because they would accept any name::

        if not TYPE_CHECKING:
            __getattr__, __dir__ = lazy_exports(__name__, __all__, {"Thing": "package.things"})
    """

    def find(name: str) -> object:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value: object = getattr(import_module(modules[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    return find, lambda: public
