"""Settings come from the built-in defaults, a file and the environment, in that order."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec
import pytest

from eventstore.config import Settings, load_settings, variables
from eventstore.errors import ConfigError

DOCUMENTED = Path(__file__).resolve().parents[2] / "config" / "eventstore.toml"


def test_the_documented_file_holds_every_setting_with_its_default() -> None:
    assert tomllib.loads(DOCUMENTED.read_text()) == msgspec.to_builtins(Settings())


def test_the_documented_file_names_every_environment_variable() -> None:
    text = DOCUMENTED.read_text()
    names = [name for name, _ in variables()]
    assert len(names) == 21
    assert [name for name in names if f"# {name}\n" not in text] == []


def test_the_environment_prevails_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('url = "memory://"\n[rules]\nformat = "raw"\nmax_bytes = 5\n')
    settings = load_settings(file, {"EVENTSTORE_RULES_FORMAT": " sigma "})
    assert (settings.url, settings.rules.format, settings.rules.max_bytes) == (
        "memory://",
        "sigma",
        5,
    )


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("EVENTSTORE_POLL_SECONDS", "soon"),
        ("EVENTSTORE_POLL_SECONDS", "-1"),
        ("EVENTSTORE_NOTIFY", "pigeon"),
        ("EVENTSTORE_RULES_ALLOW_EMPTY", "perhaps"),
        ("EVENTSTORE_RULES_DIR", " "),
        ("EVENTSTORE_PROJECTION_ON_ERROR", "ignore"),
    ],
)
def test_a_bad_variable_is_named(variable: str, value: str) -> None:
    with pytest.raises(ConfigError, match=variable):
        load_settings(environ={variable: value})


@pytest.mark.parametrize("text", ["colour = 1", "[rules]\nfromat = 'ttp'", "url = 'x", "url = 5"])
def test_a_bad_file_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"settings\.toml"):
        load_settings(file, {})


def test_the_environment_names_the_file(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("poll_seconds = 0.25")
    assert load_settings(environ={"EVENTSTORE_CONFIG": str(file)}).poll_seconds == 0.25
