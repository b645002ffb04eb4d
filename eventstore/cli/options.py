"""Options that several commands share, each declared once."""

from __future__ import annotations

import getpass
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import typer

USAGE_ERROR: Final[Any] = typer.BadParameter.__mro__[2]
"""The base of all that typer raises for wrong usage, whichever copy of click it carries."""

Url = Annotated[
    str | None,
    typer.Option(help="The log: sqlite:///FILE or postgresql://HOST/DB. Also EVENTSTORE_URL."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, one value a line.")]
Config = Annotated[
    Path | None,
    typer.Option(help="Settings file; default config/eventstore.toml. Also EVENTSTORE_CONFIG."),
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say more on stderr.")]
By = Annotated[
    str | None,
    typer.Option(help="Who decided it; default the user's login name."),
]
Replace = Annotated[bool, typer.Option("--replace", help="Overwrite what is there.")]


@dataclass(frozen=True, slots=True)
class Options:
    """What every command takes, from before its name or after it."""

    url: str | None = None
    json: bool = False
    config: Path | None = None
    verbose: bool = False

    def override(self, url: str | None, *, json: bool) -> Options:
        """Return these options with what was given after the command's name."""
        return replace(self, url=url or self.url, json=json or self.json)


def user_name(by: str | None) -> str:
    """Return who decided something: as given, else the user's login name."""
    return by or getpass.getuser()


_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def parse_duration(text: str) -> timedelta | None:
    """Return a duration such as ``30m``, ``2h`` or ``7d``, or ``None`` for another text."""
    if text[-1:] in _UNITS and text[:-1].isdecimal():
        return timedelta(**{_UNITS[text[-1]]: int(text[:-1])})
    return None


def parse_time(text: str) -> datetime | None:
    """Return an ISO 8601 time, the local one unless it names a zone, or ``None``."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.astimezone()


def now() -> datetime:
    """Return the present time, aware."""
    return datetime.now(UTC)
