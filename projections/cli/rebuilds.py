"""Projections of this package, computed again for ``rebuild NAME``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from eventstore.cli.rebuild import Rebuilt
from eventstore.errors import InvalidInputError
from projections.cli.view_definitions import load_upcasters, load_view
from projections.cli.view_places import find_view
from projections.runner import ProjectionRunner

if TYPE_CHECKING:
    from eventstore import EventStore
    from eventstore.cli.rebuild import Target
    from eventstore.cli.session import Session
    from projections.protocol import Projection
    from projections.tables.projection import TableProjection


async def rebuild_projection(session: Session, projection: Projection, place: str) -> Rebuilt:
    """Rebuild any projection with a progress bar; the old one stays if this is interrupted."""
    async with session.open_store() as store:
        return await _rebuild(session, store, projection, place)


async def _rebuild(
    session: Session, store: EventStore, projection: Projection, place: str
) -> Rebuilt:
    with session.output.progress(f"rebuilding {projection.name}") as progress:
        runner = ProjectionRunner(store, projection, progress=progress)
        try:
            reached = await runner.rebuild()
        except anyio.get_cancelled_exc_class():
            session.output.note(f"interrupted: {place} stays as it was")
            raise
    return Rebuilt(place, reached.position)


async def rebuild_tables(session: Session, target: Target, tables: TableProjection) -> Rebuilt:
    """Rebuild any table projection in the target's database, or in the log's own."""
    followed = tables.at(target.database or session.settings.url)
    return await rebuild_projection(session, followed, followed.place)


async def view(session: Session, target: Target, name: str) -> Rebuilt:
    """Rebuild a view of any manifest: in the target's database, or where the log knows it to be."""
    tables, lift = load_view(name, None), load_upcasters(name, None, None)
    async with session.open_store(upcasters=lift) as store:
        url = target.database
        if url is None:
            url = (await find_view(store, name, None, new=True)).url or session.settings.url
        followed = tables.at(url)
        return await _rebuild(session, store, followed, followed.place)


async def directory(session: Session, target: Target) -> Rebuilt:
    """Rebuild a projected directory of rule files."""
    from projections.cli.directory import directory_projection  # noqa: PLC0415 - only what is rebuilt

    if target.directory is None:
        raise InvalidInputError("--to", "names the directory")
    files = directory_projection(session, target.directory)
    return await rebuild_projection(session, files, str(target.directory))


async def rules(session: Session, target: Target) -> Rebuilt:
    """Rebuild the tables of rules."""
    from projections.rules.tables import RuleTables  # noqa: PLC0415 - only what is rebuilt

    return await rebuild_tables(session, target, RuleTables())


async def registry(session: Session, target: Target) -> Rebuilt:
    """Rebuild the tables of the registry."""
    from projections.registry.tables import RegistryTables  # noqa: PLC0415 - only what is rebuilt

    return await rebuild_tables(session, target, RegistryTables())


async def journal(session: Session, target: Target) -> Rebuilt:
    """Rebuild the tables of the journal."""
    from projections.journal.tables import JournalTables  # noqa: PLC0415 - only what is rebuilt

    return await rebuild_tables(session, target, JournalTables())


async def memories(session: Session, target: Target) -> Rebuilt:
    """Rebuild memories as tables, or as files where the target is a directory."""
    if target.directory is not None:
        from projections.memories.files import memory_directory  # noqa: PLC0415

        files = memory_directory(target.directory)
        return await rebuild_projection(session, files, str(target.directory))
    from projections.memories.tables import MemoryTables  # noqa: PLC0415 - only what is rebuilt

    return await rebuild_tables(session, target, MemoryTables())


async def sql(session: Session, target: Target) -> Rebuilt:
    """Rebuild a program's own tables: where they are, or as a copy in another database."""
    from projections.sql import SqlCopy, SqlStorage  # noqa: PLC0415 - only what is rebuilt

    if target.database is not None:
        copy = SqlCopy(target.database)
        return await rebuild_projection(session, copy, copy.place)

    async with session.open_store():
        pass  # Where there is no log, nothing is to be made.

    def rebuild() -> Rebuilt:
        with SqlStorage(session.settings.url, notify="none") as storage:
            return Rebuilt(storage.url, storage.rebuild(anyio.from_thread.check_cancelled))

    try:
        return await anyio.to_thread.run_sync(rebuild)
    except anyio.get_cancelled_exc_class():
        session.output.note("interrupted: the tables stay as they were")
        raise
