"""``export`` and ``import``: a whole log as one portable, checksummed file."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import IO, TYPE_CHECKING, Annotated

import anyio
import msgspec
import typer

from eventstore.archive.log_import import check_export, check_whole, open_export
from eventstore.cli.options import Replace
from eventstore.cli.output import binary_stdin, binary_stdout, without_secrets
from eventstore.cli.session import Session
from eventstore.system.event_loop import cancellable

if TYPE_CHECKING:
    from io import BufferedReader


async def export(
    session: Session,
    file: Annotated[str, typer.Argument(help="The file to write; - for stdout.")],
    *,
    replace: Replace = False,
) -> None:
    """Write the whole log into one portable, checksummed file."""
    async with session.open_store() as store:
        with session.output.progress("exporting") as progress:
            if file == "-":
                stdout = binary_stdout()
                await store.export(stdout, progress=progress)
                stdout.flush()
                return
            moved = await store.export(file, replace=replace, progress=progress)
    session.output.value(
        {"file": without_secrets(file), **msgspec.structs.asdict(moved)},
        f"{file}: {moved.events} events up to position {moved.position}, sha256 {moved.sha256}",
    )


async def import_(
    session: Session,
    file: Annotated[str, typer.Argument(help="A file made by export; - for stdin.")],
) -> None:
    """Fill a log from an export; the log must be new and empty."""
    # Before a log is made: what is no whole export leaves none behind.
    with await anyio.to_thread.run_sync(_open_source, file) as opened, ExitStack() as held:
        source: IO[bytes] = opened
        if not await session.has_log():
            with session.output.progress("checking") as progress:
                check = cancellable(partial(check_whole, opened, file))
                source = held.enter_context(await anyio.to_thread.run_sync(check, progress))
        async with session.open_store(create=True) as store:
            with session.output.progress("importing") as progress:
                moved = await store.import_from(source, progress=progress)
    session.output.value(
        {"url": store.url, **msgspec.structs.asdict(moved)},
        f"{store.url}: {moved.events} events up to position {moved.position}; "
        "its projections are rebuilt as they are used",
    )


def _open_source(file: str) -> BufferedReader:
    if file != "-":
        return open_export(file)
    stdin = binary_stdin()
    check_export(stdin, "stdin")
    return stdin
