"""Names of the log's tables in its own statements, with the schema that they are in.

A bare name is looked up among temporary tables first, or in whichever schema a search path names.
The log's statements are written with bare names and get their schema here, where a driver takes
them: no object of another program stands in for a table of the log.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from eventstore.storage.reserved_names import RESERVED

_RELATION: Final = re.compile(
    r"\b(FROM|JOIN|INTO|UPDATE|COPY|TABLE(?: IF NOT EXISTS)?) "
    rf"({'|'.join(sorted(RESERVED))})\b"
)
_KNOWN: Final = 1_024
"""Statements that are remembered: the log has about a hundred, some in several lengths."""


@lru_cache(_KNOWN)
def qualify(sql: str, schema: str) -> str:
    """Return a statement of the log's own with ``schema``, written as in SQL, before its tables."""
    # A function: in a template the schema's own backslashes would have a meaning.
    return _RELATION.sub(lambda found: f"{found[1]} {schema}.{found[2]}", sql)
