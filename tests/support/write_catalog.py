"""Write down what the PostgreSQL migrations make, after one was added.

Run it from the repository as ``PYTHONPATH=.:tests python -m support.write_catalog``.
"""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import anyio

from eventstore import EventStore
from eventstore.storage import migrations
from eventstore.storage.postgres._catalog import PATTERN
from eventstore.storage.postgres.backend import PostgresBackend
from support.postgres import shared_server


def pattern() -> dict[str, str]:
    """Return the catalog of a log that was made just now."""
    url = shared_server().fresh_schema()

    async def make() -> None:
        async with EventStore.open(url, notify="none"):
            pass

    anyio.run(make)
    backend = PostgresBackend(url, lambda: 0)
    backend.open()
    try:
        return backend._read(lambda driver: driver.catalog())
    finally:
        backend.close()


if __name__ == "__main__":
    target = Path(str(files(migrations.__name__).joinpath(PATTERN)))
    target.write_text(json.dumps(pattern(), indent=1, sort_keys=True) + "\n")
