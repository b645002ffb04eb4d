"""``/v1/rules``: rules with their states, their history, and setting a state, over HTTP."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - msgspec resolves it at runtime
from typing import TYPE_CHECKING, Any

import anyio
import msgspec

from eventstore.log.clock import from_microseconds
from eventstore.log.events import NewEvent
from eventstore.log.names import check_stream
from eventstore.server.routes import (
    ExpectedBody,
    Gateway,
    HttpError,
    Route,
    encode_cursor,
    json_answer,
    read_body,
    read_expected,
    read_number,
    tagged,
)
from projections.rules._encoded_rules import EncodedRules, definition_values
from projections.rules._held_rules import HeldRules
from projections.rules._rule_index import RuleIndex
from projections.rules.events import (
    RULE_STATE_SET,
    RULES,
    SOURCE_TYPES,
    SOURCES,
    STATE_TYPES,
    STATES,
    encode_content,
)
from projections.rules.fold import Defined, Removed, StateSet, read_event
from projections.rules.given_states import check_state
from projections.rules.model import RuleState, StateName, encode_state
from projections.rules.standing_rules import read_rejections

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from eventstore import Cursor, Event, EventStore

LARGEST_HISTORY = 256
"""Events of a page of a rule's history, at the most."""


class StateBody(msgspec.Struct, forbid_unknown_fields=True):
    """The state to set; who sets it is the token. ``expected`` is a version of the state."""

    state: StateName
    confidence_max: int | float | None = None
    expires_at: datetime | None = None
    reason: str | None = None
    expected: ExpectedBody = "any"


def rule_routes(store: EventStore) -> list[Route]:
    """Return the routes of rules, which share what they know of a log."""
    rules = _RuleRoutes(store)
    one = "/v1/rules/{id}"
    return [
        Route("GET", "/v1/rules", rules.get_rules),
        Route("GET", "/v1/rejections", get_rejections),
        Route("GET", one, rules.get_rule),
        Route("GET", f"{one}/history", rules.get_history, parameters=("after", "limit")),
        Route("GET", f"{one}/revisions/{{revision}}", rules.get_revision),
        Route("GET", f"{one}/state", rules.get_state),
        Route("PUT", f"{one}/state", rules.put_state, "state", body=StateBody),
    ]


async def get_rejections(gateway: Gateway, request: Request) -> Response:
    """Answer with the files that are rejected now, by source and path."""
    gateway.access.require_streams(request, "read", SOURCES)
    found = [
        {
            "source": source,
            "path": path,
            "line": one.line,
            "reason": one.reason,
            "since": one.since.isoformat(),
            "position": one.position,
        }
        for source, files in sorted((await read_rejections(gateway.store)).items())
        for path, one in sorted(files.items())
    ]
    return tagged(request, {"rejections": found})


class _RuleRoutes:
    """The routes' handlers, and the rules as of the last request."""

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._index = RuleIndex(store)
        self._held = HeldRules(store)
        self._refreshing = anyio.Lock()
        self._encoded = EncodedRules(self._index, self._state)

    async def get_rules(self, gateway: Gateway, request: Request) -> Response:
        """Answer with every rule in force, with its state; events after the cursor change it.

        ``held`` is the position at whose rules they are held, null where they are not.
        """
        for category in (RULES, STATES):
            gateway.access.require_streams(request, "read", category)
        async with self._refreshing:
            cursor = await self._index.refresh()
            held = self._index.holds.now
            found: list[Any]
            if held is None:
                found = self._encoded.rules()
            else:
                known = await self._held.events(held)
                found = [self._rule(rule.rule_id, event, rule) for event, rule in known]
        return tagged(request, {"rules": found, "held": held}, _at(cursor))

    async def get_rule(self, gateway: Gateway, request: Request) -> Response:
        """Answer with a rule in force, and its state."""
        rule_id = require_rule(gateway, request)
        async with self._refreshing:
            cursor = await self._index.refresh()
            held = self._index.holds.now
            if held is None:
                known = self._index.definition(rule_id)
            else:
                known = await self._held.event(held, rule_id)
            if known is None:
                raise HttpError(404, f"no rule {rule_id!r:.200} stands")
            values = self._rule(rule_id, *known) | {"held": held}
        return tagged(request, values, _at(cursor))

    async def get_history(self, gateway: Gateway, request: Request) -> Response:
        """Answer with what was logged of a rule and its state, oldest first, after a position."""
        rule_id = require_rule(gateway, request)
        after = int(read_number(request, "after", 0, 2.0**53))
        limit = max(1, int(read_number(request, "limit", LARGEST_HISTORY, LARGEST_HISTORY)))
        events: list[Event] = []
        for stream, types in ((RULES + rule_id, SOURCE_TYPES), (STATES + rule_id, STATE_TYPES)):
            read = self._store.read(
                after=after, streams=stream, types=types, limit=limit, kept=True
            )
            events += [event async for event in read]
        page = sorted(events, key=lambda event: event.position)[:limit]
        values = {
            "history": [_entry(event) for event in page],
            "after": page[-1].position if page else after,
        }
        return tagged(request, values)

    async def get_revision(self, gateway: Gateway, request: Request) -> Response:
        """Answer with one definition of a rule, the rule's file included, by its revision."""
        rule_id = require_rule(gateway, request)
        revision = read_revision(request)
        reader = self._store.read(streams=RULES + rule_id, types=SOURCE_TYPES, kept=True)
        async for event in reader:
            if event.version == revision:
                break
        else:
            raise HttpError(404, f"the rule {rule_id!r:.200} has no revision {revision}")
        return tagged(request, _entry(event, whole=True))

    async def get_state(self, gateway: Gateway, request: Request) -> Response:
        """Answer with a rule's state and its version; the default where none was set."""
        rule_id = require_rule(gateway, request)
        async with self._refreshing:
            cursor = await self._index.refresh()
            state = self._state(rule_id)
        values = {"state": encode_state(state), "version": await self._version(rule_id)}
        return tagged(request, values, _at(cursor))

    async def put_state(self, gateway: Gateway, request: Request) -> Response:
        """Set a rule's state, where it still has the expected version; the rule need not exist."""
        rule_id = request.path_params["id"]
        stream = check_stream(STATES + rule_id)
        gateway.access.require_streams(request, "state", stream)
        token = gateway.access.require(request, "state")
        body = await read_body(request, StateBody)
        now = from_microseconds(self._store.clock())
        state = check_state(body, token.name, now)
        data: Any = {"rule_id": rule_id, "state": encode_state(state)}
        done = await self._store.append(
            stream, [NewEvent(RULE_STATE_SET, data)], expected=read_expected(body.expected)
        )
        return json_answer(
            {
                "state": data["state"],
                "version": done.version,
                "position": done.position,
                "cursor": encode_cursor(done.cursor),
            }
        )

    def _rule(self, rule_id: str, event: Event, rule: Defined) -> dict[str, Any]:
        return {
            **definition_values(event, rule),
            "state": encode_state(self._state(rule_id)),
        }

    def _state(self, rule_id: str) -> RuleState:
        state = self._index.state(rule_id)
        now = from_microseconds(self._store.clock())
        return RuleState() if state is None else state.effective(now)

    async def _version(self, rule_id: str) -> int:
        stream = STATES + rule_id
        async for state in self._store.streams(stream):
            return state.version if state.name == stream else 0
        return 0


def require_rule(gateway: Gateway, request: Request) -> str:
    """Return the rule's id; raise HttpError 403 for a token that may not read its streams."""
    rule_id: str = request.path_params["id"]
    for category in (RULES, STATES):
        gateway.access.require_streams(request, "read", check_stream(category + rule_id))
    return rule_id


def read_revision(request: Request) -> int:
    """Return the revision of a path; raise HttpError 404 for what is none."""
    text: str = request.path_params["revision"]
    if not (text.isascii() and text.isdecimal() and len(text) < 16):
        raise HttpError(404, f"{text!r:.40} is no revision")
    return int(text)


def _at(cursor: Cursor) -> Mapping[str, str]:
    return {"eventstore-cursor": encode_cursor(cursor)}


def _entry(event: Event, *, whole: bool = False) -> dict[str, Any]:
    """Return what one event says, for people and machines; with ``whole`` all of a definition."""
    values: dict[str, Any] = {
        "kind": "redacted" if event.raw_data is None else "unusable",
        "position": event.position,
        "revision": event.version,
        "recorded_at": event.recorded_at.isoformat(),
    }
    match read_event(event) if event.raw_data is not None else None:
        case Defined() as rule if whole:
            content = {} if rule.content is None else encode_content(rule.content)
            values |= {"kind": "defined", **definition_values(event, rule), **content}
        case Defined() as rule:
            version = rule.stored.rule_version
            values |= {"kind": "defined", "rule_version": version, "path": rule.path}
            values |= {"source": rule.source, "sha256": rule.sha256}
        case Removed():
            values["kind"] = "removed"
        case StateSet(_, state, expired):
            values |= {"kind": "expired" if expired else "state", "state": encode_state(state)}
    return values
