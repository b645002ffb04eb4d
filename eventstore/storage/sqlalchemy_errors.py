"""The errors of SQLAlchemy, told apart without importing it.

It costs a start of the command line more than all else together, and a log without tables does not
need it.
"""

from __future__ import annotations

import sys


def sqlalchemy_errors() -> tuple[type[BaseException], ...]:
    """Return the root of its errors for ``except`` and ``isinstance``.

    Nothing where it was not imported: then none of them can have been raised.
    """
    root = getattr(sys.modules.get("sqlalchemy.exc"), "SQLAlchemyError", None)
    return () if root is None else (root,)
