"""A read of the tables by the driver's own calls ends like any other query, and leaves no trace."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from eventstore.errors import QueryTimeoutError
from eventstore.limits import QUERY_THREADS

if TYPE_CHECKING:
    from projections.registry import Registry

pytestmark = [pytest.mark.anyio, pytest.mark.promise("owners")]


def endless(registry: Registry) -> tuple[str, list[object]]:
    """Return a query that does not end by itself."""
    if registry.log.url.startswith("postgresql"):
        return "SELECT pg_sleep(?)", [3600]
    return (
        "WITH RECURSIVE n (i) AS (SELECT ? UNION ALL SELECT (i + 1) % 1000 FROM n) "
        "SELECT count(*) FROM n"
    ), [1]


async def goes_on(registry: Registry) -> None:
    """Check that the connections of reads that were ended are as they were."""
    await registry.register("a", {"n": 1})
    for _ in range(QUERY_THREADS + 1):
        assert await registry.get_config("a") == {"n": 1}


async def test_a_read_is_ended_after_the_timeout(registry: Registry) -> None:
    queries = registry.log.queries
    with pytest.raises(QueryTimeoutError):
        await queries.look("registry", [endless(registry)], lambda found: found, 0.05)
    await goes_on(registry)


async def test_a_cancelled_caller_ends_the_read(registry: Registry) -> None:
    queries = registry.log.queries
    with anyio.move_on_after(0.05) as scope:
        await queries.look("registry", [endless(registry)], lambda found: found)
    assert scope.cancelled_caught
    await goes_on(registry)
