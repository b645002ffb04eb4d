"""Settings come from the built-in defaults, a file and the environment, in that order."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec
import pytest

from eventstore.config import Settings, load_settings, unknown_variables, variables
from eventstore.errors import ConfigError

DOCUMENTED = Path(__file__).resolve().parents[2] / "config" / "eventstore.toml"


def test_the_documented_file_holds_every_setting_with_its_default() -> None:
    assert tomllib.loads(DOCUMENTED.read_text()) == msgspec.to_builtins(Settings())


def test_the_documented_file_names_every_environment_variable() -> None:
    text = DOCUMENTED.read_text()
    names = [name for name, _ in variables()]
    assert len(names) == 31
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


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("EVENTSTORE_URLL", "EVENTSTORE_URL"),
        ("EVENTSTORE_RULE_FORMAT", "EVENTSTORE_RULES_FORMAT"),
        ("EVENTSTORE_CONFG", "EVENTSTORE_CONFIG"),
        ("EVENTSTORE_", "EVENTSTORE_URL"),
    ],
)
def test_an_unknown_variable_is_named_with_the_nearest_one(name: str, nearest: str) -> None:
    (sentence,) = unknown_variables({name: "x", "PATH": "/bin"})
    assert f"{name} " in sentence
    assert sentence.endswith(nearest)


def test_variables_that_kubernetes_makes_for_a_service_are_passed_over() -> None:
    names = (
        "SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT", "PORT_8080_TCP",
        "PORT_8080_TCP_PROTO", "PORT_8080_TCP_PORT", "PORT_8080_TCP_ADDR", "PORT_53_UDP_ADDR",
        "GATEWAY_SERVICE_HOST", "GATEWAY_PORT_80_TCP",
    )  # fmt: skip
    assert unknown_variables({f"EVENTSTORE_{name}": "10.0.0.1" for name in names}) == []
    assert len(unknown_variables({"EVENTSTORE_PORT_TCP": "1", "EVENTSTORE_HOST": "1"})) == 2


@pytest.mark.parametrize("value", ["inf", "Infinity", "nan", "0", "-0.5", "1e12", "1e999"])
@pytest.mark.parametrize("name", [name for name, _ in variables() if name.endswith("SECONDS")])
def test_a_time_that_never_ends_or_is_none_is_refused(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=name):
        load_settings(environ={name: value})


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    binary, latin, deep = tmp_path / "binary", tmp_path / "latin", tmp_path / "deep"
    binary.write_bytes(bytes(range(256)))
    latin.write_bytes('url = "sqlite:///ü.db"'.encode("latin-1"))
    deep.write_text("a = " + "[" * 100_000)
    for file in (tmp_path, binary, latin, deep, tmp_path / "missing"):
        with pytest.raises(ConfigError, match="settings file"):
            load_settings(file, {})
