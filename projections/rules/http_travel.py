"""``/v1/diff``, ``/v1/revert`` and a rule's past: what differs between moments, and the way back.

All of it is computed by the functions of the command line. One comparison is made at a time, as
each reads the rules of two moments; lines are compared in a thread.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

import anyio
import msgspec

from eventstore.moments.resolve import resolve_moment
from eventstore.server.routes import (
    Gateway,
    HttpError,
    Route,
    encode_cursor,
    json_answer,
    read_body,
    read_number,
    tagged,
)
from projections.rules.blame import blame_rule, content_of
from projections.rules.differences import KINDS, compare_rules, diff_contents
from projections.rules.events import RULES, SOURCE_TYPES, STATES
from projections.rules.fold import Defined, read_event
from projections.rules.http_routes import read_revision, require_rule
from projections.rules.revert import check_unfollowed, plan_revert
from projections.rules.rules_at import read_changes
from projections.seams.reverting import RevertError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from eventstore import Event, EventStore
    from eventstore.moments.resolve import Moment
    from projections.rules.differences import RuleDifference
    from projections.rules.revert import Plan

LARGEST_DIFF: Final = 1_000
"""Differences of an answer, at the most; all are counted."""


class RevertBody(msgspec.Struct, forbid_unknown_fields=True):
    """What to restore, as of which moment, and why; ``plan`` is that of a preview."""

    target: str
    to: int | str
    reason: str = ""
    plan: str = ""


def travel_routes(_store: EventStore) -> list[Route]:
    """Return the routes of diffs, of the lines of a rule, and of reverts."""
    travel = _Travel()
    one = "/v1/rules/{id}"
    return [
        Route("GET", "/v1/diff", travel.get_diff, parameters=("a", "b", "rule", "stat", "limit")),
        Route("GET", f"{one}/blame", travel.get_blame, parameters=("at",)),
        Route(
            "GET", f"{one}/revisions/{{revision}}/diff", travel.get_change, parameters=("since",)
        ),
        Route("GET", "/v1/revert", travel.get_revert, parameters=("target", "to")),
        Route("POST", "/v1/revert", travel.post_revert, "append", body=RevertBody),
    ]


async def _file(
    gateway: Gateway, request: Request, event: Event | None
) -> tuple[str | None, bytes | None]:
    """Return the path and the content that an event gives its rule's file."""
    says = None if event is None or event.raw_data is None else read_event(event)
    if event is None or not isinstance(says, Defined):
        return None, None
    other = partial(_require_other, gateway, request)
    return says.path, await content_of(gateway.store, event, says, other)


def _require_other(gateway: Gateway, request: Request) -> None:
    """Raise HttpError 403 for a token of some rules: a file that another rule has is not shown.

    The event of a rule names the other one, and who may append to a rule may name any.
    """
    gateway.access.require_streams(request, "read", RULES)


class _Travel:
    """The handlers, and whose turn it is to compare."""

    def __init__(self) -> None:
        self._turn = anyio.Lock()

    async def get_blame(self, gateway: Gateway, request: Request) -> Response:
        """Answer with each line of a rule's file, and the event that brought it: who, when, why."""
        rule_id = require_rule(gateway, request)
        moment = await resolve_moment(gateway.store, request.query_params.get("at", "now"))
        async with self._turn:
            other = partial(_require_other, gateway, request)
            lines = await blame_rule(gateway.store, rule_id, moment.position, before_other=other)
        return tagged(
            request, {"position": moment.position, "lines": [line.values() for line in lines]}
        )

    async def get_change(self, gateway: Gateway, request: Request) -> Response:
        """Answer with what a revision did to its rule's file, or what differs since another one."""
        rule_id = require_rule(gateway, request)
        revision = read_revision(request)
        since = int(read_number(request, "since", 0, 2.0**53))
        before: Event | None = None
        event: Event | None = None
        reader = gateway.store.read(streams=RULES + rule_id, types=SOURCE_TYPES, kept=True)
        async for one in reader:
            if one.version == revision:
                event = one
            elif one.version == since if since else one.version < revision:
                before = one
        if event is None:
            raise HttpError(404, f"the rule {rule_id!r:.200} has no revision {revision}")
        was = await _file(gateway, request, before)
        now = await _file(gateway, request, event)
        async with self._turn:
            diff = await anyio.to_thread.run_sync(diff_contents, was[1], now[1], was[0], now[0])
        values = {
            "revision": revision,
            "since": 0 if before is None else before.version,
            "diff": diff,
        }
        return tagged(request, values)

    async def get_diff(self, gateway: Gateway, request: Request) -> Response:
        """Answer with the rules and states that differ between two moments; ``b`` is now."""
        given = request.query_params
        rule_id = given.get("rule")
        for category in (RULES, STATES):
            gateway.access.require_streams(request, "read", category + (rule_id or ""))
        limit = int(read_number(request, "limit", LARGEST_DIFF, LARGEST_DIFF))
        store = gateway.store
        async with self._turn:
            moments = [
                await resolve_moment(store, one)
                for one in (given.get("a", "0"), given.get("b", "now"))
            ]
            rules = await read_changes(store, moments[0].position, moments[1].position)
            found = await anyio.to_thread.run_sync(compare_rules, rules[0], rules[1])
            found = [one for one in found if rule_id in {None, one.rule_id}]
            if any(
                says and says.content is None for one in found for says in (one.before, one.after)
            ):
                _require_other(gateway, request)
            shown = await _values(found[:limit], stat="stat" in given)
        counts = Counter(one.kind for one in found)
        values = {
            "a": _moment(moments[0]),
            "b": _moment(moments[1]),
            "counts": {kind: counts[kind] for kind in KINDS},
            "differences": shown,
            "more": len(found) - len(shown),
        }
        return tagged(request, values)

    async def get_revert(self, gateway: Gateway, request: Request) -> Response:
        """Answer with what a revert would do; ``refused`` says why it would do nothing."""
        target, to = (request.query_params.get(name, "") for name in ("target", "to"))
        name = "(preview)"
        async with self._turn:
            moment, plan = await _plan(gateway, request, target, to, by=name)
            shown = await _values(plan.differences[:LARGEST_DIFF])
        refused = None
        try:
            await check_unfollowed(gateway.store, target, plan)
        except RevertError as error:
            refused = str(error)
        values = {
            "target": target,
            "to": _moment(moment),
            "events": len(plan.writes),
            "differences": shown,
            "more": len(plan.differences) - len(shown),
            "refused": refused,
            "note": plan.note(),
            "plan": _digest(moment, plan),
        }
        return json_answer(values)

    async def post_revert(self, gateway: Gateway, request: Request) -> Response:
        """Restore a rule, a source, or a stream of rules, as of a moment: one commit of events."""
        token = gateway.access.require(request, "append")
        body = await read_body(request, RevertBody)
        async with self._turn:
            moment, plan = await _plan(
                gateway, request, body.target, body.to, by=token.name, reason=body.reason
            )
        if body.plan and body.plan != _digest(moment, plan):
            raise HttpError(409, "what a revert would do has changed since it was shown")
        for write in plan.writes:
            gateway.access.require_streams(request, "append", write.stream)
        try:
            await check_unfollowed(gateway.store, body.target, plan)
        except RevertError as error:
            raise HttpError(409, str(error)) from error
        values: dict[str, Any] = {"target": body.target, "events": len(plan.writes)}
        if not plan.writes:
            return json_answer({**values, "position": None})
        done = await gateway.store.append_many(plan.writes)
        at = {"position": done.position, "cursor": encode_cursor(done.cursor)}
        return json_answer({**values, **at, "note": plan.note()})


async def _plan(
    gateway: Gateway, request: Request, target: str, to: int | str, *, by: str, reason: str = ""
) -> tuple[Moment, Plan]:
    for category in (RULES, STATES):  # A source, and a file of several rules, may be any of them.
        gateway.access.require_streams(request, "read", category)
    moment = await resolve_moment(gateway.store, to)
    try:
        return moment, await plan_revert(
            gateway.store, target, moment.position, by=by, reason=reason
        )
    except RevertError as error:
        raise HttpError(409, str(error)) from error


def _digest(moment: Moment, plan: Plan) -> str:
    """Return a word for what a plan does: the versions that it expects decide it."""
    writes = [(one.stream, one.expected, one.events[0].type) for one in plan.writes]
    return sha256(repr((moment.position, writes)).encode()).hexdigest()[:32]


def _moment(moment: Moment) -> dict[str, Any]:
    return {"position": moment.position, "given": moment.given}


async def _values(found: list[RuleDifference], *, stat: bool = False) -> list[dict[str, Any]]:
    def make() -> list[dict[str, Any]]:
        return [one.values(one.diff(), stat=stat) for one in found]

    return await anyio.to_thread.run_sync(make)
