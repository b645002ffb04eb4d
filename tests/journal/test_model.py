"""The journal against plain dictionaries: random calls, restarts and rebuilds in between."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule
from support.examples import examples, model_settings
from support.journals import START, entry, ids
from support.seam_model import SeamModel

from eventstore import ConflictError
from projections.journal import (
    EntryConflictError,
    Journal,
    JournalTables,
    UnknownProjectError,
)
from projections.journal.events import MORE_FIELDS

PROJECTS = ("p", "q/\0")
AGENTS = ("ana", "Bo", "")
EMOJIS = ("✅", "⚠️", "❌", "")
WORDS = ("Straße", "STRASSE", "x\0y", "a_b", "")
projects = st.sampled_from(PROJECTS)
priorities = st.none() | st.sampled_from(("high", "low"))
agents = st.sampled_from(("ana", "bo"))


class Model(SeamModel):
    """``projects`` has each project's entries in order; ``assigned`` each agent's version too."""

    seam = Journal
    tables = JournalTables
    setup = "setup"

    def __init__(self) -> None:
        super().__init__()
        self.projects: dict[str, list[dict[str, Any]]] = {}
        self.inserted: dict[str, dict[str, Any]] = {}
        """Entries as they were inserted, by id: their metadata may have been set anew."""
        self.versions: dict[str, int] = {}
        self.assigned: dict[str, str | None] = {}
        self.sessions: dict[str, tuple[str, str]] = {}
        self.number = 0

    @rule(name=projects)
    def upsert(self, name: str) -> None:
        self.call("upsert_project", name=name, repo_root="/", progress_log_path="/log")
        self.projects.setdefault(name, [])

    @rule(name=projects)
    def delete(self, name: str) -> None:
        assert self.call("delete_project", name) == (name in self.projects)
        if self.projects.pop(name, None) is not None:
            gone = [agent for agent, project in self.assigned.items() if project == name]
            for agent in gone:
                del self.assigned[agent]

    @rule(
        name=projects, seconds=st.integers(0, 3), agent=st.sampled_from(AGENTS),
        emoji=st.sampled_from(EMOJIS), word=st.sampled_from(WORDS), number=st.integers(0, 12),
        priority=priorities,
    )  # fmt: skip
    def insert(
        self, name: str, seconds: int, agent: str, emoji: str, word: str, number: int,
        priority: str | None,
    ) -> None:  # fmt: skip
        new = entry(
            number, name, ts=START + timedelta(seconds=seconds), agent=agent, emoji=emoji,
            message=f"{word} {seconds}", meta={"word": word, "n": number % 3, "in": {"n": seconds}},
            priority=priority,
        )  # fmt: skip
        stored = {"id": new["entry_id"], "ts": new["ts"].isoformat()} | {
            key: new[key] for key in ("emoji", "agent", "message", "meta", "raw_line")
        }
        if priority is not None:
            stored |= {**dict.fromkeys(MORE_FIELDS), "priority": priority}
        known = [
            (project, one)
            for project, entries in self.projects.items()
            for one in entries
            if one["id"] == stored["id"]
        ]
        if known and (known[0][0], self.inserted[stored["id"]]) != (name, stored):
            with pytest.raises(EntryConflictError):
                self.call("insert_entry", **new)
        elif name not in self.projects and not known:
            with pytest.raises(UnknownProjectError):
                self.call("insert_entry", **new)
        else:
            self.call("insert_entry", **new)
            if not known:
                self.projects[name].append(stored)
                self.inserted[stored["id"]] = dict(stored)

    @rule(name=projects, number=st.integers(0, 12), n=st.integers(0, 3))
    def set_meta(self, name: str, number: int, n: int) -> None:
        meta = {"word": "set", "n": n, "in": {"n": n}}
        found = [one for one in self.projects.get(name, ()) if one["id"] == f"e{number}"]
        for one in found:
            one["meta"] = meta
        assert self.call(
            "update_entry_meta", entry_id=f"e{number}", project=name, meta=meta
        ) == bool(found)
        assert (
            self.call("fetch_entry_by_id", entry_id=f"e{number}", project_name=name) is None
        ) == (not found)

    def newest_first(self, name: str) -> list[dict[str, Any]]:
        numbered = list(enumerate(self.projects.get(name, ())))
        return [one for _, one in sorted(numbered, key=lambda at: (at[1]["ts"], at[0]))][::-1]

    @rule(name=projects, agent=st.none() | st.sampled_from(AGENTS),
          emoji=st.none() | st.sampled_from(EMOJIS), n=st.none() | st.integers(0, 3),
          word=st.none() | st.sampled_from(WORDS), within=st.none() | st.integers(0, 3),
          priority=priorities)  # fmt: skip
    def filter(
        self, name: str, agent: str | None, emoji: str | None, n: int | None, word: str | None,
        within: int | None, priority: str | None,
    ) -> None:  # fmt: skip
        filters = {
            "agent": agent, "emoji": emoji, "meta.n": n, "meta.word": word, "meta.in.n": within,
            "priority": priority,
        }  # fmt: skip
        expected = [
            one
            for one in self.newest_first(name)
            if agent in {None, "", one["agent"]}
            and emoji in {None, "", one["emoji"]}
            and n in {None, one["meta"]["n"]}
            and word in {None, "", one["meta"]["word"]}
            and within in {None, one["meta"]["in"]["n"]}
            and priority in {None, one.get("priority")}
        ]
        assert (
            self.call("fetch_recent_entries", project=name, limit=99, filters=filters) == expected
        )
        assert self.call("count_entries", name, filters) == len(expected)
        paged: list[Any] = []
        for page in range(1, len(expected) // 3 + 2):
            entries, total = self.call(
                "fetch_recent_entries_paginated", project=name, page=page, page_size=3,
                filters=filters,
            )  # fmt: skip
            assert total == len(expected)
            paged += entries
        assert paged == expected

    @rule(name=projects, word=st.sampled_from((*WORDS, "s", "_", "\0")), exact=st.booleans(),
          mode=st.sampled_from(("substring", "exact", "regex")), start=st.integers(0, 3),
          end=st.integers(0, 3))  # fmt: skip
    def search(self, name: str, word: str, mode: Any, start: int, end: int, *, exact: bool) -> None:
        # RE2 folds letter by letter; full folding (ß, ss) is for the other modes.
        text = "x\0y" if mode == "regex" else word

        def matches(message: str) -> bool:
            one, other = (message, text) if exact else (message.casefold(), text.casefold())
            return one == other if mode == "exact" else other in one

        times = {
            key: (START + timedelta(seconds=at)).isoformat()
            for key, at in (("start", start), ("end", end))
        }
        expected = [
            one
            for one in self.newest_first(name)
            if times["start"] <= one["ts"] <= times["end"] and matches(one["message"])
        ]
        query = {"project": name, "message": text, "message_mode": mode, "case_sensitive": exact}
        found = self.call("query_entries", **query, **times, limit=99)
        assert ids(found) == ids(expected)
        assert found == expected
        assert self.call("count_query_entries", **query, **times) == len(expected)

    @rule(agent=agents, name=st.none() | projects, off=st.none() | st.integers(-1, 1))
    def assign(self, agent: str, name: str | None, off: int | None) -> None:
        version = self.versions.get(agent, 0) if agent in self.assigned else 0
        expected = None if off is None else version + off
        if expected is not None and (off != 0 or version == 0):
            with pytest.raises(ConflictError) as caught:
                self.call("set_agent_project", agent, name, expected, "me", None)
            assert (caught.value.expected, caught.value.actual) == (expected, version)
            return
        done = self.call("set_agent_project", agent, name, expected, "me", None)
        self.versions[agent] = self.versions.get(agent, 0) + 1
        self.assigned[agent] = name
        assert done["version"] == self.versions[agent]

    @rule(session=agents, agent=agents, end=st.booleans())
    def talk(self, session: str, agent: str, *, end: bool) -> None:
        if end:
            self.call("end_session", session)
            if session in self.sessions:
                self.sessions[session] = self.sessions[session][0], "ended"
        else:
            self.call("upsert_agent_session", agent, session, None)
            self.call("heartbeat_session", session)
            self.sessions[session] = agent, "active"

    @invariant()
    def all_is_as_the_model_says(self) -> None:
        names = [project.name for project in self.call("list_projects")]
        assert names == sorted(self.projects)
        for name, entries in self.projects.items():
            emojis = [one["emoji"] for one in entries]
            counts = (len(entries), *(emojis.count(emoji) for emoji in EMOJIS[:3]))
            assert self.call("fetch_project_metrics", name) == counts
        for agent in ("ana", "bo"):
            found = self.call("get_agent_project", agent)
            held = found and (found["project_name"], found["version"])
            known = agent in self.assigned
            assert held == ((self.assigned[agent], self.versions[agent]) if known else None)
            session = self.call("fetch_agent_session", agent)
            assert (session and (session["agent_id"], session["status"])) == self.sessions.get(
                agent
            )


class PostgresModel(Model):
    backend = "postgresql"


TestSqlite = Model.TestCase
TestSqlite.settings = model_settings(8, 20)
TestPostgres = pytest.mark.slow(PostgresModel.TestCase)
TestPostgres.settings = settings(TestSqlite.settings, max_examples=examples(2))


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("machine", [Model, PostgresModel])
def test_the_model_at_length(machine: type[Model]) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        machine, settings=settings(TestSqlite.settings, max_examples=200, stateful_step_count=50)
    )
