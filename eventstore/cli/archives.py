"""``export`` and ``import``: a whole log as one portable, checksummed file."""

from __future__ import annotations

from typing import IO, Annotated

import msgspec
import typer

from eventstore.cli.options import Replace
from eventstore.cli.output import binary_stdin, binary_stdout
from eventstore.cli.session import Session


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
        {"file": file, **msgspec.structs.asdict(moved)},
        f"{file}: {moved.events} events up to position {moved.position}, sha256 {moved.sha256}",
    )


async def import_(
    session: Session,
    file: Annotated[str, typer.Argument(help="A file made by export; - for stdin.")],
) -> None:
    """Fill a log from an export; the log must be new and empty."""
    source: str | IO[bytes] = binary_stdin() if file == "-" else file
    async with session.open_store(create=True) as store:
        with session.output.progress("importing") as progress:
            moved = await store.import_from(source, progress=progress)
    session.output.value(
        {"url": store.url, **msgspec.structs.asdict(moved)},
        f"{store.url}: {moved.events} events up to position {moved.position}; "
        "its projections are rebuilt as they are used",
    )
