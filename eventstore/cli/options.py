"""Options that several commands share, each declared once."""

from __future__ import annotations

import getpass
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer

from eventstore.limits import MAX_SECONDS

USAGE_ERROR: Final[Any] = typer.BadParameter.__mro__[2]
"""The base of all that typer raises for wrong usage: typer may carry a copy of click."""

Url = Annotated[
    str | None,
    typer.Option(
        help="The log: sqlite:///FILE, postgresql://HOST/DB or https://HOST. Also EVENTSTORE_URL."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, one value a line.")]
Config = Annotated[
    Path | None,
    typer.Option(help="Settings file; default config/eventstore.toml. Also EVENTSTORE_CONFIG."),
]
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose", "-v", help="Say more on stderr; show the traceback of a fault of the program."
    ),
]
LogFormat = Annotated[
    Literal["text", "json"] | None,
    typer.Option("--log-format", help="All of stderr as text, or as JSON, one object a line."),
]
Utc = Annotated[
    bool, typer.Option("--utc", help="Print times in UTC, not in the zone of this computer.")
]
By = Annotated[
    str | None,
    typer.Option(help="Who decided it; default the user's login name."),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show what would be done, and change nothing.")
]
Yes = Annotated[
    bool, typer.Option("--yes", "-y", help="Do not ask on a terminal; nothing asks elsewhere.")
]
Replace = Annotated[bool, typer.Option("--replace", help="Overwrite what is there.")]


def parse_seconds(text: str | float) -> float:
    """Return a number of seconds from 0 on, finite as those of the settings are."""
    from eventstore.log.validation import check_seconds  # noqa: PLC0415 - help needs no events

    try:
        return check_seconds("", float(text), zero=True)
    except ValueError as error:
        raise typer.BadParameter(
            f"{text!r} is no number of seconds from 0 to {MAX_SECONDS:,}"
        ) from error


WaitForLog = Annotated[
    float,
    typer.Option(
        parser=parse_seconds, metavar="SECONDS", help="Wait for a log that is not there yet."
    ),
]


@dataclass(frozen=True, slots=True)
class Options:
    """What every command takes, from before its name or after it."""

    url: str | None = None
    json: bool = False
    config: Path | None = None
    verbose: bool = False
    utc: bool = False
    log_format: str | None = None

    def override(self, **given: object) -> Options:
        """Return these options with what was given after the command's name."""
        changes = {name: value for name, value in given.items() if value not in {None, False}}
        return replace(self, **changes)  # type: ignore[arg-type]


def user_name(by: str | None) -> str:
    """Return who decided something: as given, else the user's login name, else ``uid N``.

    Containers run as numbers that no password database has.
    """
    if by:
        return by
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
