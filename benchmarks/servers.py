"""Private servers for benchmarks, as the tests start them; gone when they end."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.postgres import Server
    from support.redis import RedisServer

KEY: Final = "the key of this benchmark alone"


class Servers(NamedTuple):
    """PostgreSQL, with an empty schema at ``url``, and Redis."""

    url: str
    postgres: Server
    redis: RedisServer

    def connections(self) -> int:
        """Return how many sessions PostgreSQL has of the log's user."""
        statement = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'tester'"
        return int(self.postgres.execute(statement)[0][0])

    def redis_connections(self) -> int:
        """Return how many clients Redis has, this one among them."""
        with self.redis.client() as client:
            return len(client.client_list())


@contextmanager
def servers() -> Iterator[Servers]:
    """Run both; PostgreSQL is as durable as a real one."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    from support.postgres import private_server  # noqa: PLC0415 - of the tests, not installed
    from support.redis import private_redis  # noqa: PLC0415

    settings = {"shared_buffers": "256MB", "max_connections": "400"}
    with private_server(fsync=True, settings=settings) as postgres, private_redis() as redis:
        yield Servers(postgres.fresh_schema(), postgres, redis)
