"""Project rules into tables, and follow. Arguments: URL, URL of the tables' database."""

from __future__ import annotations

from eventstore import EventStore
from programs.common import run
from projections import ProjectionRunner
from projections.rules import RuleTables


async def main(url: str, tables: str) -> None:
    async with EventStore.open(url) as store:
        await ProjectionRunner(store, RuleTables().at(tables)).run()


if __name__ == "__main__":
    run(main)
