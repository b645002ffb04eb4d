"""The log against a model in plain Python, driven by random calls."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from support.audit import audit
from support.examples import model_settings

from eventstore import (
    ANY,
    STREAM_EXISTS,
    Appended,
    ConflictError,
    DuplicateEventError,
    Event,
    EventStore,
    NewEvent,
    StreamWrite,
)

STREAMS = ("a/1", "a/2", "b/1")
TYPES = ("X", "Y")
streams = st.sampled_from(STREAMS)
few_streams = st.lists(streams, min_size=1, max_size=3, unique=True)
expectations = st.sampled_from(["right", "wrong", ANY, STREAM_EXISTS, 0])


class Log(RuleBasedStateMachine):
    """Appends, retries, reads and reopenings; ``rows`` and ``calls`` are the model."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.portal_context = start_blocking_portal()
        self.portal = self.portal_context.__enter__()
        self.rows: list[tuple[str, int, NewEvent, int]] = []
        self.calls: list[tuple[list[StreamWrite], Appended]] = []

    @initialize()
    def start(self) -> None:
        self.open()

    def open(self) -> None:
        url = f"sqlite:///{self.directory}/events.db"
        self.store = EventStore.open(url, notify="none")
        self.portal.call(self.store.__aenter__)

    def append(self, writes: list[StreamWrite]) -> Appended:
        return self.portal.call(self.store.append_many, writes)

    def version(self, stream: str) -> int:
        return sum(row[0] == stream for row in self.rows)

    @rule(names=few_streams, counts=st.lists(st.integers(1, 4), min_size=3), wish=expectations,
          type_=st.sampled_from(TYPES))  # fmt: skip
    def append_new(self, names: list[str], counts: list[int], wish: Any, type_: str) -> None:
        writes, fails = [], False
        for name, count in zip(names, counts, strict=False):
            actual = self.version(name)
            expected = {"right": actual, "wrong": actual + 1}.get(str(wish), wish)
            fails = fails or (expected not in {ANY, actual} and (
                expected is not STREAM_EXISTS or not actual
            ))  # fmt: skip
            new = [NewEvent(type_, index) for index in range(count)]
            writes.append(StreamWrite(name, new, expected))
        try:
            done = self.append(writes)
        except ConflictError as conflict:
            told = (conflict.stream, conflict.actual)
            assert fails
            assert told == (told[0], self.version(told[0]))
        else:
            assert not fails
            self.remember(writes, done)

    def remember(self, writes: list[StreamWrite], done: Appended) -> None:
        commit = len(self.rows) + sum(len(write.events) for write in writes)
        for write in writes:
            for event in write.events:
                self.rows.append((write.stream, self.version(write.stream) + 1, event, commit))
        versions = {write.stream: self.version(write.stream) for write in writes}
        assert (done.position, done.versions, done.duplicate) == (commit, versions, False)
        self.calls.append((writes, done))

    @rule(pick=st.randoms(use_true_random=False))
    def retry(self, pick: Any) -> None:
        if self.calls:
            writes, first = pick.choice(self.calls)
            again = self.append(writes)
            assert again.duplicate
            assert (again.position, again.version) == (first.position, first.version)
            assert (again.versions, again.cursor) == (first.versions, first.cursor)

    @rule(pick=st.randoms(use_true_random=False))
    def retry_with_something_new(self, pick: Any) -> None:
        if self.calls:
            writes, _ = pick.choice(self.calls)
            events = [*writes[0].events, NewEvent("X", None)]
            with pytest.raises(DuplicateEventError) as caught:
                self.append([StreamWrite(writes[0].stream, events)])
            assert len(caught.value.ids) == len(events) - 1

    @rule(after=st.integers(0, 40), until=st.none() | st.integers(0, 60),
          where=st.sampled_from([None, "a/", "b/", "c/", *STREAMS]),
          types=st.none() | st.sets(st.sampled_from([*TYPES, "Z"])),
          backwards=st.booleans(), limit=st.none() | st.integers(0, 9))  # fmt: skip
    def read(self, after: int, until: int | None, where: str | None, types: set[str] | None,
             *, backwards: bool, limit: int | None) -> None:  # fmt: skip
        after = min(after, len(self.rows))
        found = [
            position
            for position, (stream, _, event, _) in enumerate(self.rows, 1)
            if after < position <= (len(self.rows) if until is None else until)
            and (types is None or event.type in types)
            and (where is None or stream == where or (where.endswith("/") and stream[:2] == where))
        ]
        events = self.portal.call(
            self.collect,
            self.store.read(after=after, until=until, streams=where, types=types,
                            backwards=backwards, limit=limit),
        )  # fmt: skip
        assert [event.position for event in events] == (found[::-1] if backwards else found)[:limit]
        for event in events:
            self.check(event)

    async def collect(self, reader: Any) -> list[Event]:
        return [event async for event in reader]

    def check(self, event: Event) -> None:
        stream, version, new, commit = self.rows[event.position - 1]
        assert (event.stream, event.version, event.commit) == (stream, version, commit)
        assert (event.id, event.type, event.data) == (new.id, new.type, new.data)

    @rule()
    def reopen(self) -> None:
        self.portal.call(self.store.aclose)
        assert audit(self.directory / "events.db") == len(self.rows)
        self.open()

    @invariant()
    def head_is_the_number_of_events(self) -> None:
        assert self.portal.call(self.store.head).position == len(self.rows)

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.portal.call(self.store.aclose)
        self.portal_context.__exit__(None, None, None)
        shutil.rmtree(self.directory)


TestLog = Log.TestCase
TestLog.settings = model_settings(40, 25)
