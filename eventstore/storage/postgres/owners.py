"""Who owns the objects in the log's schema that have its names.

Some are made when they are first needed. A role that may create objects there could make one first,
with triggers, defaults or a body of its own, which then run with the rights of the log's users.
"""

from __future__ import annotations

from typing import Any, Final

from eventstore.errors import StorageError
from eventstore.storage.catalog import TABLES
from eventstore.storage.postgres.engine import LOCK_SCHEMA
from eventstore.storage.reserved_names import CHECKPOINTS, FUNCTIONS, LATE_TABLES

_NAMES: Final = [*TABLES, *CHECKPOINTS, *FUNCTIONS, *LATE_TABLES]
_CAPTURE: Final = "sql\\_capture%"

# The owner of the head owns the log. A role is trusted where the log's owner is a member of it,
# and so is a superuser. Where there is no head yet, the role that is about to make it counts.
_FOREIGN: Final = """
WITH own AS (
    SELECT coalesce((SELECT relowner FROM pg_catalog.pg_class WHERE relname OPERATOR(pg_catalog.=)
        'head' AND relnamespace OPERATOR(pg_catalog.=) n.oid),
        (SELECT oid FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) current_user)
    ) AS owner, n.oid AS schema
    FROM pg_catalog.pg_namespace n WHERE n.nspname OPERATOR(pg_catalog.=) current_schema()
), found AS (
    SELECT c.relname AS name, c.relowner AS role FROM pg_catalog.pg_class c, own
    WHERE c.relnamespace OPERATOR(pg_catalog.=) own.schema
    UNION ALL SELECT p.proname, p.proowner FROM pg_catalog.pg_proc p, own
    WHERE p.pronamespace OPERATOR(pg_catalog.=) own.schema
)
SELECT found.name::pg_catalog.text, r.rolname::pg_catalog.text
FROM own, found JOIN pg_catalog.pg_roles r ON r.oid OPERATOR(pg_catalog.=) found.role
WHERE (found.name::pg_catalog.text OPERATOR(pg_catalog.=) ANY (%(names)s::pg_catalog.text[])
    OR found.name::pg_catalog.text OPERATOR(pg_catalog.~~) %(capture)s::pg_catalog.text)
AND r.oid OPERATOR(pg_catalog.<>) own.owner AND NOT r.rolsuper
AND NOT pg_catalog.pg_has_role(own.owner, r.oid, 'MEMBER') ORDER BY 1 LIMIT 1
"""


def check_owners(raw: Any, where: str) -> None:
    """Raise StorageError where an object with a name of the log's belongs to another role."""
    row = raw.execute(_FOREIGN, {"names": _NAMES, "capture": _CAPTURE}).fetchone()
    if row is not None:
        raise StorageError(
            where,
            f"{row[0]!r} in the log's schema belongs to the role {row[1]!r}, not to the owner of "
            "the log: drop it, or give it to that owner, and let no other role CREATE there",
        )


_LOOSE: Final = """
SELECT p.proname::pg_catalog.text FROM pg_catalog.pg_proc p
JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) p.pronamespace
JOIN pg_catalog.pg_roles r ON r.oid OPERATOR(pg_catalog.=) p.proowner
WHERE n.nspname OPERATOR(pg_catalog.=) current_schema()
AND p.proname::pg_catalog.text OPERATOR(pg_catalog.=) ANY (%(names)s::pg_catalog.text[])
AND r.rolname OPERATOR(pg_catalog.=) current_user
AND (p.proconfig IS NULL OR p.proconfig::pg_catalog.text NOT LIKE '%%pg_temp%%')
"""


def find_loose_functions(raw: Any) -> list[str]:
    """Return this role's functions of the log whose names a temporary table could stand in for."""
    return [name for (name,) in raw.execute(_LOOSE, {"names": [*FUNCTIONS]}).fetchall()]


def pin_functions(raw: Any) -> None:
    """Let the functions of the log's triggers look for tables in the log's schema first.

    Two that open the log at once do it one after the other: the server lets only one alter a
    function.
    """
    raw.execute(LOCK_SCHEMA)
    for name in find_loose_functions(raw):
        raw.execute(
            f"ALTER FUNCTION {raw.schema}.{name}() SET search_path = {raw.schema}, pg_temp".encode()
        )
