"""The registry against a plain dictionary: random calls, restarts and rebuilds in between."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule
from support.examples import examples
from support.seam_model import SeamModel

from projections.registry import Registration, Registry, RegistryTables

BOTS = ("a", "B/%", "ü\0", "c d")
bots = st.sampled_from(BOTS)
statuses = st.sampled_from(("active", "inactive", "error"))
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
numbers = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(texts, values, max_size=4)
orders = st.sampled_from(("asc", "desc"))
metadata = st.dictionaries(st.sampled_from(("k", "l")), st.integers(0, 2), max_size=2)


class Model(SeamModel):
    """``known`` is what is registered, in order of first registration."""

    seam = Registry
    tables = RegistryTables
    setup = "initialize"

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[str, tuple[Any, str, Any]] = {}

    @rule(bot=bots, config=objects, status=statuses, meta=st.none() | metadata)
    def register(self, bot: str, config: Any, status: str, meta: Any) -> None:
        made = self.call("register", bot, config, status, metadata=meta)
        assert (made.bot_id, made.config, made.status) == (bot, config, status)
        self.known[bot] = (config, status, meta or {})

    @rule(bot=bots)
    def deactivate(self, bot: str) -> None:
        assert self.call("deactivate", bot) == (bot in self.known)
        if bot in self.known:
            config, _, meta = self.known[bot]
            self.known[bot] = (config, "inactive", meta)

    @rule(bot=bots)
    def unregister(self, bot: str) -> None:
        assert self.call("unregister", bot) == (self.known.pop(bot, None) is not None)

    @rule()
    def clear(self) -> None:
        self.call("clear")
        self.known.clear()

    @rule(bot=bots)
    def read(self, bot: str) -> None:
        before = self.call("peek_config", bot)
        found = self.call("get", bot)
        assert plain(found and [found]) == (self.known.get(bot) and [(bot, *self.known[bot])])
        assert before == self.call("get_config", bot) == (found and found.config)
        assert self.call("exists", bot) == (bool(found) and found.status == "active")
        assert plain([self.call("get_as_of", bot, 10**9)] if found else None) == plain(
            found and [found]
        )

    @rule(
        meta=metadata,
        status=st.none() | statuses,
        limit=st.none() | st.integers(0, 4),
        offset=st.none() | st.integers(0, 3),
        sort=st.none() | st.tuples(st.sampled_from(("metadata.k", "status")), orders),
    )
    def list_some(
        self, meta: Any, status: Any, limit: int | None, offset: int | None, sort: Any
    ) -> None:
        wanted = [
            (bot, *one)
            for bot, one in self.known.items()
            if all(item in one[2].items() for item in meta.items()) and status in {None, one[1]}
        ]
        options = {"status": status, "filter_metadata": meta}
        streamed = self.streamed(**options, config=SimpleNamespace(batch_size=2))
        assert plain(streamed) == wanted
        if sort is not None:
            wanted = ordered_by(wanted, *sort)
        start = offset or 0
        end = None if limit is None else start + limit
        found = self.call("list_all", **options, limit=limit, offset=offset, sort=sort)
        assert plain(found) == wanted[start:end]
        assert self.call("count_all", **options) == len(wanted)

    def streamed(self, **options: Any) -> list[Registration]:
        async def run() -> list[Registration]:
            return [one async for one in self.opened.stream(**options)]

        return self._portal.call(run)

    @invariant()
    def everything_is_there(self) -> None:
        everything = [(bot, *one) for bot, one in self.known.items()]
        assert plain(self.call("list_all")) == everything
        for method, count, status in (
            ("list_active", "count", "active"),
            ("list_inactive", "count_inactive", "inactive"),
        ):
            some = [one for one in everything if one[2] == status]
            assert plain(self.call(method)) == some
            assert self.call(count) == len(some)
        assert self.call("list_ids") == [one[0] for one in everything if one[2] == "active"]


def ordered_by(rows: list[tuple[Any, ...]], field: str, order: str) -> list[tuple[Any, ...]]:
    """Return rows in the order of a field: equal ones as they are, those without it last."""

    def key(row: tuple[Any, ...]) -> Any:
        return row[2] if field == "status" else row[3].get("k")

    there = [row for row in rows if key(row) is not None]
    there.sort(key=key, reverse=order == "desc")
    return there + [row for row in rows if key(row) is None]


def plain(found: list[Registration] | None) -> list[tuple[Any, ...]] | None:
    """Return what registrations say, their times aside."""
    if found is None:
        return None
    return [(one.bot_id, one.config, one.status, one.metadata) for one in found]


class PostgresModel(Model):
    """The same on PostgreSQL."""

    backend = "postgresql"


slow = {HealthCheck.too_slow, HealthCheck.data_too_large}
TestRegistry = Model.TestCase
TestRegistry.settings = settings(
    max_examples=examples(15), stateful_step_count=15, deadline=None, suppress_health_check=slow
)
TestRegistryOnPostgres = PostgresModel.TestCase
TestRegistryOnPostgres.settings = settings(
    max_examples=examples(4), stateful_step_count=15, deadline=None, suppress_health_check=slow
)


@pytest.mark.promise("registry")
@pytest.mark.anyio
@settings(max_examples=examples(60), deadline=None, suppress_health_check=list(HealthCheck))
@given(bot=texts.filter(bool), config=objects, status=statuses, meta=objects)
async def test_every_value_comes_back_exactly(
    registry: Registry, bot: str, config: Any, status: Any, meta: Any
) -> None:
    await registry.register(bot, config, status, metadata=meta)
    found = await registry.get(bot)
    assert found is not None
    assert repr((found.bot_id, found.status)) == repr((bot, status))
    # As text, because 1, 1.0 and True are equal, and so are 0.0 and -0.0.
    assert repr(ordered([found.config, found.metadata])) == repr(ordered([config, meta]))
    assert Registration.from_dict(found.to_dict()) == found
    if meta:
        assert bot in [one.bot_id for one in await registry.list_all(metadata=meta)]


def ordered(value: Any) -> Any:
    """Return a value with all dictionaries in the order of their keys."""
    if isinstance(value, dict):
        return {key: ordered(value[key]) for key in sorted(value)}
    return [ordered(one) for one in value] if isinstance(value, list) else value
