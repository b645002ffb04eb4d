"""The service over HTTP, and the outbox that tells a webhook of every change."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import msgspec
from flags import CATEGORY, RefusedError
from service import FlagService, open_store
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from eventstore.outbox import Outbox
from eventstore.outbox.webhook import Webhook

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request


class Change(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a change."""

    percent: int
    by: str
    why: str


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """Open the log; deliver to the webhook, where one is named, as long as the service runs."""
    async with (
        open_store(os.environ.get("FLAGS_URL", "sqlite:///flags.db")) as store,
        anyio.create_task_group() as tasks,
    ):
        app.state.flags = FlagService(store)
        if url := os.environ.get("FLAGS_WEBHOOK"):
            outbox = Outbox(store, "flag-webhook", Webhook(url), streams=f"{CATEGORY}/")
            tasks.start_soon(outbox.run)
        yield
        tasks.cancel_scope.cancel()


async def put_flag(request: Request) -> JSONResponse:
    """Set a flag."""
    try:
        change = msgspec.json.decode(await request.body(), type=Change)
        name = request.path_params["name"]
        changed = await request.app.state.flags.set(
            name, change.percent, by=change.by, why=change.why
        )
    except (msgspec.MsgspecError, RefusedError) as error:
        return JSONResponse({"error": str(error)}, 400)
    return JSONResponse({"changed": changed})


async def get_flags(request: Request) -> JSONResponse:
    """List the flags."""
    return JSONResponse(await request.app.state.flags.all())


async def get_for_user(request: Request) -> JSONResponse:
    """Say whether a flag is on for a user."""
    given: dict[str, Any] = request.path_params
    return JSONResponse({"on": await request.app.state.flags.is_on(given["name"], given["user"])})


async def get_audit(request: Request) -> JSONResponse:
    """Search the audit trail."""
    words = request.query_params.get("words", "").split()
    return JSONResponse(await request.app.state.flags.search(*words))


app = Starlette(
    routes=[
        Route("/flags", get_flags),
        Route("/flags/{name}", put_flag, methods=["PUT"]),
        Route("/flags/{name}/for/{user}", get_for_user),
        Route("/audit", get_audit),
    ],
    lifespan=lifespan,
)
