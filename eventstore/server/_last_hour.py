"""``/v1/hour``: head and lag during the last hour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from eventstore.log.clock import from_microseconds
from eventstore.server._hour_samples import STEP
from eventstore.server.routes import Route, tagged

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from eventstore.server._gateway import Gateway


async def get_hour(gateway: Gateway, request: Request) -> Response:
    """Answer with head and lag during the last hour, as seen by this process since it began."""
    gateway.access.require_streams(request, "read", None)
    hour = gateway.hour
    values = {
        "began_at": from_microseconds(hour.began_us).isoformat(),
        "step_seconds": STEP,
        "samples": [
            {"at": sample.at_us / 1e6, "position": sample.position, "lag": sample.lag}
            for sample in hour.samples
        ],
    }
    return tagged(request, values)


ROUTES: Final = (Route("GET", "/v1/hour", get_hour),)
