"""Hostile texts in every place of every command: a terminal obeys none, JSON stays JSON."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING, Any, NamedTuple

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.in_process import in_process
from support.private_streams import append_anywhere

from eventstore import EventStore, NewEvent
from eventstore.cli.contributions import Contribution, contributions
from eventstore.cli.rebuild import names
from projections.rules import RuleState, RuleStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from eventstore.log.events import JSON


SECRET = "T0PS3CR3T"

STEERING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What a terminal obeys, the line feed aside: C0, DEL, C1, bidirectional controls, line breaks."""

HOSTILE = [
    "a\x1b[31m\x1b]52;c;YQ==\x07\x1b]8;;http://x\x1b\\b",
    "a\x9b31m\x9d0;title\x9c\x7f",
    "a\r\nerror: forged\u2028\u2029\x85x",
    "a\u202eb\u2066c\u2069\u200f\u061cd",
    "[/var/log] [red]x[/] [link=http://x]y :boom:",
    "a\udcff\xa0\U0001f4a9\U000e0001",
]

NAMES = [re.sub("[\x00-\x1f\x7f-\x9f\udcff]", "", text) for text in HOSTILE]
"""The same as far as names of the log may hold it."""

WORDS = [
    ["status", "{}"],
    ["status", "--consumer", "{}"],
    ["status", "--source", "{}"],
    ["status", "--within", "{}"],
    ["{}"],
    ["--{}"],
    ["tail", "--no-follow", "--streams", "{}"],
    ["tail", "--no-follow", "--consumer", "{}"],
    ["tail", "--after", "{}"],
    ["history", "{}"],
    ["show", "{}"],
    ["streams", "{}"],
    ["append", "{}", "Noted"],
    ["append", "order/1", "{}"],
    ["append", "order/1", "Noted", "{}"],
    ["append", "order/1", "Noted", "--expected", "{}"],
    ["append", "order/1", "Noted", "--id", "{}"],
    ["wait", "1", "--timeout", "0", "--consumer", "{}"],
    ["wait", "{}"],
    ["consumers", "remove", "{}"],
    ["consumers", "rewind", "{}", "--to", "0"],
    ["views", "build", "{}", "--from", "{}"],
    ["views", "drop", "{}"],
    ["verify", "--anchor", "{}"],
    ["verify", "--view", "{}"],
    ["redact", "1", "--reason", "{}", "--by", "{}", "--dry-run"],
    ["rebuild", "{}"],
    ["rebuild", "rules", "--database", "{}"],
    ["rebuild", "sql", "--database", "{}"],
    ["rebuild", "rules", "--to", "{}"],
    ["export", "missing/{}"],
    ["import", "{}"],
    ["backup", "missing/{}"],
    ["restore", "{}", "--replace"],
    ["trim", "--before", "{}"],
    ["trim", "--before", "1", "--archive", "missing/{}", "--reason", "{}"],
    ["sync", "{}", "--once"],
    ["sync", "rules", "--once", "--source", "{}", "--by", "{}"],
    ["sync", "rules", "--once", "--format", "{}"],
    ["check", "{}"],
    ["check", "rules", "--format", "{}"],
    ["project", "live", "--at", "{}"],
    ["rules", "--from", "{}"],
    ["state", "{}", "disabled", "--reason", "{}", "--by", "{}"],
    ["state", "R1", "{}"],
    ["state", "R1", "disabled", "--until", "{}"],
    ["source", "rename", "{}", "{}"],
    ["source", "{}", "a", "b"],
    ["status", "--url", "{}"],
    ["status", "--config", "{}"],
]
"""The commands, with a place for a text in each argument and option."""


class Done(NamedTuple):
    status: int
    stdout: str
    stderr: str


def run_here(*words: str, cwd: Path, **variables: str) -> Done:
    """Run a command within this process: many of them cost little."""
    done = in_process(cwd, **variables)(*words)
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a log with a rule, and hostile names in every place of an event."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "rules").mkdir()
    (folder / "rules" / "a.yml").write_text("broken: [")
    anyio.run(fill, f"sqlite:///{folder}/eventstore.db")
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path) -> Path:
    """Copy what was made."""
    return shutil.copytree(made, tmp_path, dirs_exist_ok=True)


async def fill(url: str) -> None:
    async with EventStore.open(url, notify="none") as store:
        for number, text in enumerate(HOSTILE):
            name = NAMES[number]
            plain = text.encode("utf-8", "replace").decode()
            state = RuleState("disabled", reason=plain)
            await RuleStore(store).set_state(name, state, plain)
            git = {"commit": plain, "author": plain, "subject": plain}
            rejected = {"path": plain, "reason": plain, "line": plain, "sha256": plain}
            await store.append(
                f"source/{name}",
                [NewEvent("RuleRejected", rejected, metadata={"by": plain, "git": git})],
            )
            await store.append(f"order/{name}", [NewEvent(name, {plain: plain})])
            async with store.subscribe_changes(consumer=name, follow=False) as changes:
                async for event in changes:
                    await changes.reject(event, plain)
                    break


def assert_plain(done: Done, *, is_json: bool) -> None:
    assert not STEERING.search(done.stdout + done.stderr), (done.stdout, done.stderr)
    assert "fault of the program" not in done.stderr
    assert done.status in {0, 1, 2}
    for stream in (done.stdout, done.stderr) if is_json else ():
        for line in stream.split("\n")[:-1]:
            json.loads(line, parse_constant=no_constant)


EACH_COMMAND = pytest.mark.parametrize(
    ("words", "is_json"),
    [
        pytest.param(
            words,
            is_json,
            id=f"{' '.join(words)}-{'json' if is_json else 'text'}",
            marks=pytest.mark.soak if (number + is_json) % 2 else pytest.mark.slow,
        )
        for number, words in enumerate(WORDS)
        for is_json in (False, True)
    ],
)
"""Each command as text or as JSON, by turns; the soak has both of each."""


def no_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


@pytest.mark.parametrize("is_json", [False, True], ids=["text", "json"])
@pytest.mark.parametrize("command", ["tail --no-follow", "status", "rules", "streams", "consumers"])
def test_what_the_log_holds_steers_no_terminal(here: Path, command: str, is_json: bool) -> None:
    done = run_here(*command.split(), *["--json"] * is_json, cwd=here)
    assert_plain(done, is_json=is_json)
    assert done.status == 0


@EACH_COMMAND
def test_what_is_given_steers_no_terminal(here: Path, words: list[str], is_json: bool) -> None:
    for text in HOSTILE:
        given = [word.replace("{}", text) for word in words]
        assert_plain(run_here(*given, *["--json"] * is_json, cwd=here), is_json=is_json)


URLS = [
    f"postgresql://u:{SECRET}@127.0.0.1:1/db?connect_timeout=1",
    f"POSTGRESQL://u:{SECRET}@127.0.0.1:1/db",
    f"postgresql://u:a@{SECRET}/@127.0.0.1:1/db",
    f"postgresql://127.0.0.1:1/db?sslpassword={SECRET}&password={SECRET}&connect_timeout=1",
    f"sqlite://u:{SECRET}@h",
    f"redis://:{SECRET}@127.0.0.1:1",
    f"unix://u:{SECRET}@/run/redis.sock",
    f"mongodb://u:{SECRET}@h",
    f"host=127.0.0.1 port=1 password='{SECRET}'",
]


@EACH_COMMAND
def test_no_argument_shows_a_password(here: Path, words: list[str], is_json: bool) -> None:
    stored = words[0] in {"append", "state"} or "--source" in words
    for url in URLS:
        given = [word.replace("{}", url) for word in words]
        done = run_here(*given, "-v", *["--json"] * is_json, cwd=here)
        assert SECRET not in done.stderr, given
        # An event says what was stored; for machines, exactly that.
        if not (stored and is_json and done.status == 0):
            assert SECRET not in done.stdout, given


@pytest.mark.slow
@pytest.mark.parametrize("variable", ["EVENTSTORE_URL", "EVENTSTORE_NOTIFY", "EVENTSTORE_CONFIG"])
def test_no_variable_shows_a_password(here: Path, variable: str) -> None:
    for url in URLS:
        for words in (["status", "-v"], ["status", "--json"], ["rebuild", "rules", "-v"]):
            done = run_here(*words, cwd=here, **{variable: url})
            assert SECRET not in done.stdout + done.stderr
    done = run_here("status", cwd=here, **{f"EVENTSTORE_{URLS[0]}"[:-20]: "x"})
    assert SECRET not in done.stdout + done.stderr


@pytest.mark.slow
def test_no_settings_file_shows_a_password(here: Path) -> None:
    for url in URLS:
        for text in (f'url = "{url}"', f'nonsense = "{url}"', f'"{url}" = 1', f"url = {url}"):
            (here / "s.toml").write_text(text)
            done = run_here("--config", "s.toml", "status", "-v", cwd=here)
            assert SECRET not in done.stdout + done.stderr, text


@pytest.mark.slow
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.sampled_from(WORDS), st.text(st.characters(exclude_characters="\0")), st.booleans())
def test_any_text_in_any_place_is_plain(
    here: Path, words: list[str], text: str, is_json: bool
) -> None:
    given_words = [word.replace("{}", text) for word in words]
    assert_plain(run_here(*["--json"] * is_json, *given_words, cwd=here), is_json=is_json)


LOAD = Contribution.load

SHAPES = [None, [], {}, "x", 1, True, [1], {"a": 1}]
CATEGORIES = ["rule/R", "rule-state/R", "source/S", "consumer/w", "order/1", "sql/main", "bot/1"]
CATEGORIES += ["journal/1", "memory/1"]
FIELDS = ["rule_id", "path", "previous_path", "source", "rule", "links", "rules", "content", "line"]
FIELDS += ["reason", "claim", "to", "ignored", "state", "ended", "position", "by", "consumer"]
FIELDS += ["changes", "statements", "tables", "namespace", "entry", "project"]


def poison() -> Iterator[tuple[str, NewEvent]]:
    types = {type_ for type_, _ in contributions().event_lines}
    types |= {"ChangeRejected", "RowsChanged", "SchemaChanged", "RowValue", "MemoryStored"}
    types |= {"BotRegistered", "EntryInserted", "SessionSet", "ProjectSet", "FilesIgnored"}
    for stream in CATEGORIES:
        for type_ in sorted(types):
            for shape in SHAPES:
                metadata = {"by": shape, "git": shape}
                yield stream, NewEvent(type_, shape, metadata=metadata)
                yield stream, NewEvent(type_, dict.fromkeys(FIELDS, shape), metadata=metadata)
            state: JSON = {"state": "disabled", "reason": [], "expires_at": [1], "set_by": {}}
            yield stream, NewEvent(type_, {"state": state})
            yield stream, NewEvent(type_, b"\xff")
            yield stream, NewEvent(type_, {"position": 10**40, "state": {"state": 10**40}})
            for when in ("9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"):
                yield stream, NewEvent(type_, {"state": {"state": "disabled", "expires_at": when}})


async def fill_with_poison(url: str) -> None:
    by_stream: dict[str, list[NewEvent]] = {}
    for stream, event in poison():
        by_stream.setdefault(stream, []).append(event)
    async with EventStore.open(url, notify="none") as store:
        for stream, events in by_stream.items():
            await append_anywhere(store, stream, events)
        async with store.subscribe_changes(consumer="w", follow=False) as changes:
            async for _ in changes:
                break


@pytest.mark.promise("bad-input")
@pytest.mark.slow
@pytest.mark.parametrize("is_json", [False, True], ids=["text", "json"])
def test_no_event_ends_what_prints_or_computes(tmp_path: Path, is_json: bool) -> None:
    anyio.run(fill_with_poison, f"sqlite:///{tmp_path}/eventstore.db")
    count = len(list(poison()))
    commands = ["rules", "status", "consumers", "streams", "verify", "project live --once"]
    commands += ["status --consumer w", "show R", "show source/S", "redact 2 --dry-run"]
    commands += [f"export out{is_json}"]
    for command in commands:
        done = run_here(*command.split(), *["--json"] * is_json, cwd=tmp_path)
        assert_plain(done, is_json=is_json)
        # Only a verification says that the events of SQL tables are none.
        assert (done.status, done.stderr) == (int(command == "verify"), ""), command
    for words in (["tail", "--no-follow"], ["history", "rule/R"]):
        done = run_here(*words, *["--json"] * is_json, cwd=tmp_path)
        assert done.status == 0
        assert_plain(done, is_json=is_json)
        printed = len(done.stdout.splitlines())
        assert printed == (count if words[0] == "tail" else count // len(CATEGORIES))
    for name in names():
        to = ["--to", "made"] if name == "directory" else []
        done = run_here("rebuild", name, *to, *["--json"] * is_json, cwd=tmp_path)
        assert_plain(done, is_json=is_json)
        assert done.status == (1 if name == "sql" else 0)  # Tables need each change of a row.


def loader(result: object) -> Callable[[Contribution[Any], str], Any]:
    """Return what loads contributions, with a function for events that returns ``result``."""
    load = LOAD

    def loaded(self: Contribution[Any], path: str) -> Any:
        if path.endswith(":describe_redaction"):
            return lambda _event: result
        return load(self, path)

    return loaded


def test_a_line_of_another_package_that_fails_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def append() -> None:
        async with EventStore.open(f"sqlite:///{tmp_path}/eventstore.db") as store:
            await store.append("order/1", [NewEvent("Noted", {"n": 1}), NewEvent("Noted", 2)])

    anyio.run(append)

    class Raising:
        def __str__(self) -> str:
            raise SystemExit(3)

    results = [Raising(), ("a",), ("a", Raising()), 5, ("\x1b[31m", "b\nc")]
    for result in results:
        monkeypatch.setattr(Contribution, "load", loader(result))
        known = contributions().event_lines
        monkeypatch.setitem(known, ("Noted", ""), known["EventRedacted", ""])
        done = run_here("tail", "--no-follow", cwd=tmp_path)
        assert_plain(done, is_json=False)
        assert (done.status, len(done.stdout.splitlines())) == (0, 2)


def test_an_error_of_a_driver_is_shown_without_its_secrets(here: Path) -> None:
    url = f"postgresql://u:x@{SECRET}@h:notaport/db"
    for more in ([], ["-v"], ["--json"]):
        done = run_here("status", "--url", url, *more, cwd=here)
        assert done.status == 1
        assert SECRET not in done.stdout + done.stderr
