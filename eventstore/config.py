"""Settings: built-in defaults, then a TOML file, then environment variables.

Every setting has one name: ``poll_seconds`` in the file is ``EVENTSTORE_POLL_SECONDS`` in
the environment, ``format`` in the section ``[rules]`` is ``EVENTSTORE_RULES_FORMAT``. The
file ``config/eventstore.toml`` documents each of them with its default.
"""

from __future__ import annotations

import difflib
import logging
import os
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias

import msgspec

from eventstore import limits
from eventstore.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

log = logging.getLogger(__name__)

PREFIX: Final = "EVENTSTORE_"


DEFAULT_FILE: Final = Path("config/eventstore.toml")
"""Read from the working directory if it is there and no other file is named."""

Seconds: TypeAlias = Annotated[float, msgspec.Meta(gt=0, le=limits.MAX_SECONDS)]
Notify: TypeAlias = Annotated[
    str, msgspec.Meta(pattern="^(auto|file|postgres|none|(redis|rediss|unix)://.+)$")
]
Count: TypeAlias = Annotated[int, msgspec.Meta(gt=0)]

_KUBERNETES: Final = re.compile(
    r"EVENTSTORE_([A-Z0-9_]+_)?"
    r"(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)
"""What Kubernetes sets in every pod beside a service whose name begins with ``eventstore``."""


class RuleSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The section ``[rules]``: how a directory of rules becomes events."""

    dir: Annotated[str, msgspec.Meta(min_length=1)] = "rules"
    format: str = "ttp"
    source: str = ""
    max_bytes: Count = 1_048_576
    allow_empty: bool = False
    settle_seconds: Seconds = 0.01
    hasty_settle_seconds: Seconds = 0.2
    rescan_seconds: Seconds = 5.0
    report_url: str = ""


class ProjectionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The section ``[projection]``: how events become files."""

    on_error: Literal["set_aside", "stop"] = "set_aside"
    form: Literal["keep", "plain", "atomic"] = "keep"
    heal_seconds: Seconds = 5.0
    grace_seconds: Seconds = 60.0


class OutboxSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The section ``[outbox]``: where events are delivered, and what signs them."""

    webhook_url: str = ""
    webhook_secret: str = ""


class MetricsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The section ``[metrics]``: who reads what ``--metrics`` shows, and by which certificate."""

    token: str = ""
    token_file: str = ""
    tls_cert: str = ""
    tls_key: str = ""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All settings."""

    url: str = "sqlite:///eventstore.db"
    notify: Notify = "auto"
    notify_key: str = ""
    notify_accepted_keys: str = ""
    poll_seconds: Seconds = 1.0
    write_wait_seconds: Seconds = 30.0
    rule_store_type: str = "filesystem"
    registry_type: str = "database"
    journal_type: str = "database"
    memories_type: str = "database"
    memories_dir: Annotated[str, msgspec.Meta(min_length=1)] = "memories"
    sql_type: str = "database"
    rules: RuleSettings = RuleSettings()
    projection: ProjectionSettings = ProjectionSettings()
    outbox: OutboxSettings = OutboxSettings()
    metrics: MetricsSettings = MetricsSettings()

    @property
    def notify_keys(self) -> tuple[str, ...]:
        """The notifier's keys: the one that signs, then those that are still accepted."""
        return split_keys(self.notify_key, self.notify_accepted_keys)


def split_keys(key: str, accepted: str) -> tuple[str, ...]:
    """Return the keys of two settings; raise ConfigError for accepted ones without a first."""
    others = tuple(one.strip() for one in accepted.split(",") if one.strip())
    if others and not key:
        raise ConfigError("notify_accepted_keys need a notify_key: the one that signs")
    return (key, *others) if key else ()


def keys_in_force(environ: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Return the notifier's keys that the environment names."""
    environ = os.environ if environ is None else environ
    return split_keys(
        environ.get(f"{PREFIX}NOTIFY_KEY", ""), environ.get(f"{PREFIX}NOTIFY_ACCEPTED_KEYS", "")
    )


def write_wait_in_force(environ: Mapping[str, str] | None = None) -> float:
    """Return the longest wait for the turn to write a file, in seconds, that the environment says.

    Raises ConfigError for a value that is not a number of seconds.
    """
    environ = os.environ if environ is None else environ
    name = f"{PREFIX}WRITE_WAIT_SECONDS"
    values: dict[str, Any] = {}
    if name in environ:
        _set(values, ("write_wait_seconds",), environ[name], name)
    return _convert(values, "the settings").write_wait_seconds


def load_settings(file: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Return the settings in force.

    ``file`` is the TOML file to read; without it ``EVENTSTORE_CONFIG``, else
    ``config/eventstore.toml`` where that exists. Raises ConfigError naming the file or
    variable for anything that is not valid; a variable that is not known is a warning.
    """
    environ = os.environ if environ is None else environ
    for warning in unknown_variables(environ):
        log.warning("%s", warning)
    named = file or (Path(environ["EVENTSTORE_CONFIG"]) if "EVENTSTORE_CONFIG" in environ else None)
    values: dict[str, Any] = {}
    if named is not None or DEFAULT_FILE.is_file():
        values = _read_file(named or DEFAULT_FILE)
    for variable, path in variables():
        if variable in environ:
            _set(values, path, environ[variable], variable)
    return _convert(values, "the settings")


def variables() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each environment variable with the path of the setting it stands for."""
    yield from _variables(Settings, ())


def _variables(
    kind: type[msgspec.Struct], prefix: tuple[str, ...]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    for field in msgspec.structs.fields(kind):
        path = (*prefix, field.name)
        if isinstance(field.default, msgspec.Struct):
            yield from _variables(type(field.default), path)
        else:
            yield PREFIX + "_".join(path).upper(), path


def given_variables(environ: Mapping[str, str] | None = None) -> list[str]:
    """Return the values of variables that begin like a setting, known or not."""
    environ = os.environ if environ is None else environ
    return [value for name, value in environ.items() if name.startswith(PREFIX)]


def secret_variables(environ: Mapping[str, str] | None = None) -> list[str]:
    """Return the values of variables that are secret as a whole: keys, and libpq's password."""
    environ = os.environ if environ is None else environ
    accepted = environ.get(f"{PREFIX}NOTIFY_ACCEPTED_KEYS", "").split(",")
    names = (f"{PREFIX}NOTIFY_KEY", f"{PREFIX}METRICS_TOKEN", "PGPASSWORD")
    return [word.strip() for word in (*(environ.get(name, "") for name in names), *accepted)]


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """Return a sentence for each variable that begins like a setting and is none.

    Those that Kubernetes makes for a service are passed over.
    """
    known = [PREFIX + "CONFIG", *(name for name, _ in variables())]
    sentences = []
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in known and not _KUBERNETES.fullmatch(name):
            near = difflib.get_close_matches(name, known, n=1, cutoff=0)
            sentences.append(
                f"environment variable {name} is no setting and is ignored; "
                f"the nearest one is {near[0]}"
            )
    return sentences


def _read_file(file: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"settings file {file}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"settings file {file}: {error}") from error
    _convert(values, f"settings file {file}")
    return values


def _set(values: dict[str, Any], path: tuple[str, ...], text: str, variable: str) -> None:
    section: dict[str, Any] = {}
    inner = section
    for name in path[:-1]:
        inner = inner.setdefault(name, {})
    inner[path[-1]] = text.strip()
    _convert(section, f"environment variable {variable}")
    for name in path[:-1]:
        values = values.setdefault(name, {})
    values[path[-1]] = text.strip()


def _convert(values: dict[str, Any], where: str) -> Settings:
    try:
        # Not strict, because environment variables are texts.
        return msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {error}") from error
