"""``/v1/fleet``: what workers have loaded, told by themselves and shown to operators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from starlette.responses import Response

from eventstore.server.routes import Gateway, Route, read_body, tagged
from projections.rules.fleet import (
    intended_values,
    read_fleet,
    who_has,
    worker_values,
)
from projections.rules.loaded_report import (
    MOST_NAMED,
    LoadedReport,
    encode_report,
    name_rejected,
    shorten,
)
from projections.rules.rule_set import DifferenceWord  # noqa: TC001 - msgspec resolves it

if TYPE_CHECKING:
    from starlette.requests import Request

    from eventstore import EventStore
    from projections.rules.fleet import Fleet


class ReportBody(msgspec.Struct, forbid_unknown_fields=True):
    """What a worker has loaded: the hash of its set, and the position that it has come to.

    ``rejected`` has the reason for each rule that its engine cannot run. ``differs`` names rules
    that it knows to be others than the log's: ``missing``, ``extra``, ``content`` or ``state``.
    """

    hash: Annotated[str, msgspec.Meta(pattern="^([0-9a-f]{64})?$")]
    position: Annotated[int, msgspec.Meta(ge=0, le=2**53)]
    rules: Annotated[int, msgspec.Meta(ge=0, le=2**53)] = 0
    rejected: dict[str, str] = {}
    differs: dict[str, DifferenceWord] = {}
    engine: str = ""
    version: str = ""

    def report(self, process: str) -> LoadedReport:
        """Return it as it is stored."""
        return LoadedReport(
            self.position,
            self.hash,
            self.rules,
            name_rejected(self.rejected.items()),
            len(self.rejected),
            tuple(sorted(self.differs.items())[:MOST_NAMED]),
            len(self.differs),
            shorten(self.engine),
            shorten(self.version),
            process,
        )


def fleet_routes(store: EventStore) -> list[Route]:
    """Return the routes of the fleet."""
    fleet = _FleetRoutes(store)
    one = "/v1/fleet/{worker}"
    return [
        Route("GET", "/v1/fleet", fleet.get_fleet),
        Route("PUT", one, fleet.put_report, "ack", body=ReportBody),
        Route("DELETE", one, fleet.delete_report, "ack"),
        Route("GET", "/v1/rules/{id}/fleet", fleet.get_holdings),
    ]


class _FleetRoutes:
    """The routes' handlers."""

    def __init__(self, store: EventStore) -> None:
        self._store = store

    async def get_fleet(self, gateway: Gateway, request: Request) -> Response:
        """Answer with every worker and what it has loaded, those in trouble first."""
        fleet = await self._read(gateway, request)
        values = {
            "intended": intended_values(fleet),
            "count": fleet.counts(),
            "workers": [worker_values(worker) for worker in fleet.workers],
        }
        return tagged(request, values)

    async def get_holdings(self, gateway: Gateway, request: Request) -> Response:
        """Answer with what each worker has of one rule, those that do not have it first."""
        rule_id = request.path_params["id"]
        fleet = await self._read(gateway, request)
        held = [
            {"worker": one.worker.name, "verdict": one.worker.verdict, "has": one.word,
             "why": one.why, "loaded": one.worker.report.position if one.worker.report else None}
            for one in who_has(fleet, rule_id)
        ]  # fmt: skip
        return tagged(request, {"intended": intended_values(fleet), "workers": held})

    async def put_report(self, gateway: Gateway, request: Request) -> Response:
        """Store what a worker has loaded, in the place of what it told before."""
        token = gateway.access.require(request, "ack")
        body = await read_body(request, ReportBody)
        text = encode_report(body.report(f"by {token.name}"))
        await self._store.store_report(request.path_params["worker"], text)
        return Response(status_code=204)

    async def delete_report(self, gateway: Gateway, request: Request) -> Response:
        """Remove what a worker has told; a consumer of that name stays."""
        gateway.access.require(request, "ack")
        await self._store.forget_report(request.path_params["worker"])
        return Response(status_code=204)

    async def _read(self, gateway: Gateway, request: Request) -> Fleet:
        gateway.access.require_streams(request, "read", None)
        return await read_fleet(self._store)
