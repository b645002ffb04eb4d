"""A foreign package, installed into a directory: it adds to the command line."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from support.commands import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST = """
from eventstore.cli.manifest import (
    Checkpoints, Command, EventLines, Keeper, Manifest, Rebuild, StatusSection,
)

MANIFEST = Manifest(
    title="Orders",
    commands=(Command("orders", "Count the orders.", "acme.code:orders"),),
    event_lines=(EventLines(("Placed",), "acme.code:placed", streams="order/"),),
    status_sections=(
        StatusSection("shops", "acme.code:shops", check_option="--shop", check_help="Check it."),
    ),
    rebuilds=(Rebuild("totals", "acme.code:rebuild_totals"),),
    checkpoints=(Checkpoints(("acme",), "acme.code:checkpoints"),),
    keepers=(Keeper("acme.code:keep_placed"),),
    history_categories=("order/",),
)
"""

CODE = """
from typing import Annotated

import typer

from eventstore import Cursor, NewEvent
from eventstore.cli.manifest import StatusEntry
from eventstore.cli.rebuild import Rebuilt, Target
from eventstore.cli.session import Session


async def orders(
    session: Session,
    name: Annotated[str, typer.Argument(help="Whose.")],
    *,
    place: Annotated[bool, typer.Option("--place", help="Place one first.")] = False,
) -> int:
    \"\"\"Count the orders of a shop.\"\"\"
    async with session.open_store(create=True) as store:
        if place:
            await store.append(f"order/{name}", [NewEvent("Placed", {"total": 12})])
        count = len([e async for e in store.read(streams=f"order/{name}", kept=True)])
    session.output.value({"orders": count}, f"{name} has {count} orders")
    return 0 if count else 3


def placed(event):
    return "placed", f"for {event.data['total']}"


async def shops(store):
    return [StatusEntry("north", {"name": "north"}, "shop north: open"),
            StatusEntry("south", {"name": "south"}, "shop south: shut", fault="is shut")]


async def rebuild_totals(session: Session, target: Target) -> Rebuilt:
    return Rebuilt(target.database or "here", 7)


def checkpoints(place):
    return [("totals", Cursor("another-log", 1, b"x" * 32))]


def keep_placed(events):
    return [event.position for event in events if event.type == "Placed"]
"""


def install(site: Path, name: str, manifest: str, code: str = CODE) -> dict[str, str]:
    """Write a package and its metadata below ``site``; return the environment that has it.

    The distribution is ``NAME-things``. Packages that are installed before stay.
    """
    package = site / name
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "manifest.py").write_text(manifest)
    (package / "code.py").write_text(code)
    metadata = site / f"{name}_things-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}-things\nVersion: 1.0\n"
    )
    (metadata / "entry_points.txt").write_text(
        f"[eventstore.commands]\n{name} = {name}.manifest:MANIFEST\n"
    )
    return {"PYTHONPATH": os.pathsep.join((str(REPOSITORY), str(site)))}
