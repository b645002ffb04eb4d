"""``/v1/verification``, ``/v1/redactions`` and ``/v1/trims``: what an operator asks of integrity.

A verification is a job of the server process: one at a time, which goes on without the client that
has started it. It is what the command ``verify`` does.
"""

from __future__ import annotations

import logging
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import anyio
import msgspec

from eventstore.cli.integrity import check_log
from eventstore.cli.output import without_secrets
from eventstore.errors import EventStoreError
from eventstore.log.clock import from_microseconds
from eventstore.log.events import Cursor
from eventstore.log.operations import TRIMS
from eventstore.log.redaction import REDACTIONS, read_redaction
from eventstore.server.routes import Gateway, HttpError, Route, json_answer, read_body, tagged

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from eventstore import Event, EventStore

log = logging.getLogger(__name__)

SHOWN: Final = 100
"""Redactions, trims and findings of an answer, the newest."""


class VerificationBody(msgspec.Struct, forbid_unknown_fields=True):
    """``anchor``: a cursor kept elsewhere, ``ID:POSITION:HASH``, that the log must contain."""

    anchor: str = ""


def integrity_routes(store: EventStore) -> list[Route]:
    """Return the routes of a log's integrity."""
    job = _Verification(store)
    path = "/v1/verification"
    return [
        Route("GET", path, job.get),
        Route("POST", path, job.start, "admin", body=VerificationBody),
        Route("DELETE", path, job.cancel, "admin"),
        Route("GET", "/v1/redactions", get_redactions),
        Route("GET", "/v1/trims", get_trims),
    ]


async def get_redactions(gateway: Gateway, request: Request) -> Response:
    """Answer with the newest redactions: which event was erased, why, and by whom."""
    gateway.access.require_streams(request, "read", REDACTIONS)
    found = [
        {**msgspec.structs.asdict(said), **_recorded(event)}
        for event in await _newest(gateway.store, REDACTIONS)
        if (said := read_redaction(event)) is not None
    ]
    return tagged(request, {"redactions": found})


async def get_trims(gateway: Gateway, request: Request) -> Response:
    """Answer with the newest trims: where the log begins since, and which archive has the rest."""
    gateway.access.require_streams(request, "read", TRIMS)
    found = [
        {**event.data, **_recorded(event)}
        for event in await _newest(gateway.store, TRIMS)
        if isinstance(event.data, dict)
    ]
    return tagged(request, {"trims": found})


async def _newest(store: EventStore, stream: str) -> list[Event]:
    reader = store.read(streams=stream, backwards=True, limit=SHOWN, kept=True)
    return [event async for event in reader]


def _recorded(event: Event) -> dict[str, Any]:
    return {"event": event.position, "recorded_at": event.recorded_at.isoformat()}


class _Verification:
    """The last verification of this server process."""

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._scope: anyio.CancelScope | None = None
        self._values: dict[str, Any] = {"state": "none"}

    async def get(self, gateway: Gateway, request: Request) -> Response:
        """Answer with how far a verification is, or what the last one of this process has found."""
        gateway.access.require_streams(request, "read", None)
        return tagged(request, {"verification": self._values})

    async def start(self, gateway: Gateway, request: Request) -> Response:
        """Begin to verify the log, unless this process does so already."""
        token = gateway.access.require_streams(request, "admin", None)
        anchor = (await read_body(request, VerificationBody)).anchor.strip()
        cursor = Cursor.parse(anchor) if anchor else None
        if self._scope is not None:
            raise HttpError(409, "the log is being verified already")
        self._scope = anyio.CancelScope()
        self._values = {
            "state": "running",
            "by": token.name,
            "began_at": self._now(),
            "position": 0,
            "head": self._store.feed.log.newest.position,
        }
        gateway.run_beside(partial(self._run, self._scope, cursor))
        return json_answer({"verification": self._values}, 202)

    async def cancel(self, gateway: Gateway, request: Request) -> Response:
        """End the verification that runs."""
        gateway.access.require_streams(request, "admin", None)
        if self._scope is None:
            raise HttpError(409, "no verification runs")
        self._scope.cancel()
        return json_answer({"verification": self._values}, 202)

    async def _run(self, scope: anyio.CancelScope, anchor: Cursor | None) -> None:
        found: dict[str, Any] = {"state": "cancelled"}
        try:
            with scope:
                report, findings = await check_log(self._store, anchor, self._progress)
                found = {"state": "done", "findings": [], "total": len(findings)}
                if report is not None:
                    findings = [*report.findings, *findings]
                    found |= {"position": report.position, "events": report.events}
                    found |= {"total": len(findings) + report.more, "anchor": str(report.cursor)}
                found["findings"] = [without_secrets(asdict(one)) for one in findings[:SHOWN]]
        except EventStoreError as error:
            found = {"state": "failed", "reason": without_secrets(str(error))}
        except Exception:
            log.exception("the verification failed by a fault of the program")
            found = {"state": "failed", "reason": "a fault of the program: see the server's log"}
        finally:
            self._values = {**self._values, **found, "ended_at": self._now()}
            self._scope = None

    def _progress(self, position: int, head: int) -> None:
        self._values = {**self._values, "position": position, "head": head}

    def _now(self) -> str:
        return from_microseconds(self._store.clock()).isoformat()
