"""Any text and any JSON comes back exactly, and is found by itself, on every database."""

from __future__ import annotations

import math
import tempfile
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from anyio.from_thread import start_blocking_portal
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support.examples import examples
from support.journals import PROJECT, entry
from support.logs import LOG_URLS

from projections.journal import Journal
from projections.journal.columns import fold, from_column, meta_value, to_column

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anyio.from_thread import BlockingPortal

texts = st.text(
    st.characters(exclude_categories=["Cs"]) | st.sampled_from("\0\1\2\3\\u0%_ßİΣ\ufe0f⚠✅"),
    max_size=20,
)
numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**63), 2**64 - 1)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
names = texts.filter(lambda text: 0 < len(text.encode()) < 256)
moments = st.datetimes(timezones=st.just(UTC))
quickly = settings(
    max_examples=examples(60), deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
numbered = count()


@given(texts, texts)
@example("\0\1\2\3", "\2\2")
@quickly
def test_columns_hold_any_text_and_what_is_within_it(text: str, other: str) -> None:
    column = to_column(text)
    assert from_column(column) == text
    assert "\0" not in column
    assert (to_column(other) in column) == (other in text)
    assert (column == to_column(other)) == (text == other)
    assert (fold(text) == fold(other)) == (text.casefold() == other.casefold())


@given(values, values)
@example(1, True)
@example(1, 1.0)
@example([1.0], [1])
@example("1", 1)
@example("x" * 400, "x" * 401)
@quickly
def test_metadata_is_equal_as_json_is(value: Any, other: Any) -> None:
    assert (meta_value(value) == meta_value(other)) == same(value, other)


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal; in Python True is 1 as well."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return bool(one == other)


def exact(value: Any) -> Any:
    """Return a value so that ``==`` tells -0.0 from 0.0, 1 from 1.0 and from True."""
    if isinstance(value, dict):
        return {key: exact(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [exact(inner) for inner in value]
    return type(value), value, isinstance(value, float) and math.copysign(1, value)


@pytest.fixture(scope="module", params=sorted(LOG_URLS))
def opened(request: pytest.FixtureRequest) -> Iterator[tuple[BlockingPortal, Journal]]:
    """Give one journal of each backend, for all examples."""
    url = LOG_URLS[request.param](Path(tempfile.mkdtemp()))
    with start_blocking_portal() as portal, open_journal(portal, url) as journal:
        yield portal, journal


@contextmanager
def open_journal(portal: BlockingPortal, url: str) -> Iterator[Journal]:
    journal = Journal(url, notify="none")
    portal.call(journal.setup)
    yield journal
    portal.call(journal.close)


@pytest.mark.promise("journal")
@given(
    name=names, ts=moments, emoji=st.none() | texts, agent=st.none() | texts, message=texts,
    meta=st.none() | st.dictionaries(texts, values, max_size=4), raw_line=texts,
)  # fmt: skip
@example(
    name="\0/%", ts=datetime(2026, 1, 1, tzinfo=UTC), emoji="", agent="\0", message="\1\0",
    meta={"": -0.0, "\0": 2**64 - 1, "a": 5e-324, "b": {"c": [None, "", {}, [], 1e308]}},
    raw_line="\0\n",
)  # fmt: skip
@quickly
def test_an_entry_comes_back_exactly_and_is_found(
    opened: tuple[BlockingPortal, Journal], name: str, ts: datetime, **fields: Any
) -> None:
    portal, journal = opened

    async def go() -> None:
        await journal.upsert_project(**{**PROJECT, "name": name})
        entry_id = f"e{next(numbered)}"
        await journal.insert_entry(**entry(0, name, entry_id=entry_id, ts=ts, **fields))
        query: dict[str, Any] = {"project": name, "limit": 1000, "start": ts, "end": ts}
        found = await journal.query_entries(
            **query, message=fields["message"], message_mode="exact", case_sensitive=True,
            meta_filters=fields["meta"], agents=[fields["agent"]] if fields["agent"] else None,
        )  # fmt: skip
        one = next(one for one in found if one["id"] == entry_id)
        assert exact(one) == exact({"id": entry_id, "ts": ts.isoformat(), **fields})
        await journal.insert_entry(**entry(0, name, entry_id=entry_id, ts=ts, **fields))

    portal.call(go)


@given(project=names, path=texts, agent=names, session=names, data=st.dictionaries(texts, values))
@quickly
def test_names_and_metadata_come_back_exactly(
    opened: tuple[BlockingPortal, Journal],
    project: str,
    path: str,
    agent: str,
    session: str,
    data: dict[str, Any],
) -> None:
    portal, journal = opened

    async def go() -> None:
        made = await journal.upsert_project(name=project, repo_root=path, progress_log_path=path)
        assert (made.name, made.repo_root, made.progress_log_path) == (project, path, path)
        assert made in await journal.list_projects()
        await journal.upsert_agent_session(agent, session, data)
        held = await journal.fetch_agent_session(session)
        assert held is not None
        assert (held["agent_id"], held["session_id"]) == (agent, session)
        assert exact(held["metadata"]) == exact(data)
        assigned = await journal.set_agent_project(agent, project, None, path, session)
        assert assigned == await journal.get_agent_project(agent)
        assert (assigned["project_name"], assigned["updated_by"]) == (project, path)
        await journal.record_doc_change(
            project, doc=path, section=path, action=path, agent=None, metadata=data,
            sha_before=None, sha_after=path,
        )  # fmt: skip
        (change,) = await journal.list_doc_changes(project, limit=1)
        assert exact(change["metadata"]) == exact(data)
        assert (change["doc"], change["agent"]) == (path, None)

    portal.call(go)
