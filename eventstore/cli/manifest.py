"""What a package adds to the command line, declared in one light module of the package.

A package names its manifest in the entry point group ``eventstore.commands``::

    [project.entry-points."eventstore.commands"]
    orders = "orders.manifest:MANIFEST"

Every start of the command line imports every manifest, so that module imports nothing but this
one. All code is named by import paths, ``"package.module:name"``, and is imported at its first
use. Later versions add further kinds of contributions as fields with defaults.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from keyword import iskeyword
from typing import Final

GROUP: Final = "eventstore.commands"
"""The entry point group that names manifests."""

_NAME: Final = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
_PATH: Final = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


class ManifestError(ValueError):
    """A manifest says something that cannot be used."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command: ``path`` names an async function that typer can read.

    Its first parameter is the :class:`~eventstore.cli.session.Session`, the others are annotated
    as typer has it. ``--url`` and ``--json`` are added. It returns the exit status, or ``None``
    for 0. ``help`` is the line in the list of commands. A name of two words, ``"order cancel"``, is
    a command of the group that the first word names; a command of that word alone runs where no
    second one is given.

    ``interrupted`` is the exit status after Ctrl-C or SIGTERM. With the default, 130, the command
    has not done what it should: it ends with 130 after Ctrl-C and with 143 after SIGTERM. With 0
    it is a follower, which goes on until a signal ends it; ``one_shot`` has those of its options
    with which it ends by itself (``("--once",)``) and a signal is an interruption again.
    """

    name: str
    help: str
    path: str
    interrupted: int = 130
    one_shot: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for word in str(self.name).split(" ", 1):
            _check_name(word)
        _check_text("help", self.help)
        _check_path(self.path)
        for option in self.one_shot:
            _check_name(option.removeprefix("--"))


def commands_of(module: str, helps: Mapping[str, str]) -> tuple[Command, ...]:
    """Return commands by the line of help of each name: functions of one module.

    A function has the last word of the name, with ``_`` where that is a word of Python's own.
    """
    words = {name: name.rpartition(" ")[2] for name in helps}
    return tuple(
        Command(name, text, f"{module}:{words[name]}{'_' * iskeyword(words[name])}")
        for name, text in helps.items()
    )


@dataclass(frozen=True, slots=True)
class EventLines:
    """How ``tail`` and ``history`` say events of these types in one line.

    ``path`` names a function that is given the :class:`~eventstore.Event`, whose data is
    readable and not redacted, and returns a verb and the rest of the line, or ``None`` for the
    general form. ``streams`` restricts it to one category (``"order/"``) or stream. ``diff`` names
    a function for ``history --diff``: given the last such event of the stream, or ``None``, and the
    event, it returns the lines of a unified diff.
    """

    types: tuple[str, ...]
    path: str
    streams: str = ""
    diff: str = ""

    def __post_init__(self) -> None:
        _check_texts("types", self.types)
        _check_path(self.path)
        if self.diff:
            _check_path(self.diff)


@dataclass(frozen=True, slots=True)
class StatusSection:
    """A section of ``status``: ``path`` names an async function that lists its entries.

    The function is given the open :class:`~eventstore.EventStore` and returns a sequence of
    :class:`StatusEntry`. ``name`` is the section's key with ``--json``. With ``check_option``
    (``"--source"``) a user can require an entry by name: ``status`` then fails if it is missing,
    for which ``missing`` has the words, or if it has a fault. With ``check_all`` the option takes
    no name: every entry is checked.
    """

    name: str
    path: str
    check_option: str = ""
    check_help: str = ""
    missing: str = "is missing"
    check_all: bool = False

    def __post_init__(self) -> None:
        _check_key(self.name)
        _check_path(self.path)
        if self.check_option:
            _check_name(self.check_option.removeprefix("--"))
            _check_text("check_help", self.check_help)


@dataclass(frozen=True, slots=True)
class StatusEntry:
    """One entry of a section of ``status``.

    ``values`` go to ``--json``, ``line`` to people. ``fault`` says what is wrong, as the rest of
    the sentence that begins with the section's option and the entry's name; empty if nothing is.
    """

    name: str
    values: dict[str, object]
    line: str
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Rebuild:
    """A projection that ``rebuild NAME`` can compute again.

    ``path`` names an async function that is given the session and a
    :class:`~eventstore.cli.rebuild.Target`, and returns a
    :class:`~eventstore.cli.rebuild.Rebuilt`. ``directory`` and ``database`` say where the
    projection can be: ``--to DIR``, ``--database URL``, or either.
    """

    name: str
    path: str
    directory: bool = False
    database: bool = True

    def __post_init__(self) -> None:
        _check_name(self.name)
        _check_path(self.path)
        if not self.directory and not self.database:
            raise ManifestError(f"the projection {self.name!r} is neither in files nor in tables")


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """How ``verify --view PLACE`` reads the checkpoints of projections in a place.

    ``schemes`` are the URL schemes that ``path`` understands; ``""`` stands for a directory.
    ``path`` names a function that is given the place and returns pairs of a projection's name
    and its :class:`~eventstore.Cursor`. It raises EventStoreError where it finds none.
    """

    schemes: tuple[str, ...]
    path: str

    def __post_init__(self) -> None:
        _check_texts("schemes", [scheme or "directory" for scheme in self.schemes])
        _check_path(self.path)


@dataclass(frozen=True, slots=True)
class Keeper:
    """What ``trim`` must keep: ``path`` names a function for ``store.trim(keep=…)``.

    It is given the events that go, once and in order, and returns the positions to keep.
    """

    path: str

    def __post_init__(self) -> None:
        _check_path(self.path)


@dataclass(frozen=True, slots=True)
class LogCheck:
    """What ``verify`` finds besides: ``path`` names an async function that checks events.

    It is given the open :class:`~eventstore.EventStore`, and returns a sequence of
    :class:`~eventstore.integrity.findings.Finding`.
    """

    path: str

    def __post_init__(self) -> None:
        _check_path(self.path)


@dataclass(frozen=True, slots=True)
class Routes:
    """What ``serve`` answers besides: ``path`` names a function that returns routes.

    It is given the open :class:`~eventstore.EventStore`, and returns a sequence of
    :class:`~eventstore.server.routes.Route`. With ``name`` those routes are left out by the option
    ``--no-NAME`` of ``serve``, if it has that option.
    """

    path: str
    name: str = ""

    def __post_init__(self) -> None:
        _check_path(self.path)


@dataclass(frozen=True, slots=True)
class MetricsGroup:
    """What ``/metrics`` shows besides: ``path`` names an async function that reads metrics.

    It is given the open :class:`~eventstore.EventStore`, and returns a sequence of
    :class:`~eventstore.metrics.model.Metric`. It is called each time the metrics are read.
    """

    name: str
    path: str

    def __post_init__(self) -> None:
        _check_name(self.name)
        _check_path(self.path)


@dataclass(frozen=True, slots=True)
class View:
    """A table projection that ``rebuild`` and ``views build``, ``swap``, ``retry`` know by name.

    ``path`` names its class, a function that makes it, or the projection itself. ``upcasters``
    names the :class:`~eventstore.Upcasters` that the package opens its log with.
    """

    name: str
    path: str
    upcasters: str = ""

    def __post_init__(self) -> None:
        _check_text("the view", self.name)
        _check_path(self.path)
        if self.upcasters:
            _check_path(self.upcasters)


@dataclass(frozen=True, slots=True)
class ViewRebuild:
    """How ``rebuild NAME`` computes a :class:`View` of any manifest again.

    ``path`` names an async function as that of a :class:`Rebuild`, which is given the name too.
    """

    path: str

    def __post_init__(self) -> None:
        _check_path(self.path)


@dataclass(frozen=True, slots=True)
class TailCompanion:
    """What runs beside ``tail --consumer NAME`` where it prints every event.

    ``path`` names a class. It is called with the open store, the consumer's name and the position
    that the consumer is at; its async method ``begin`` before the first event is read, ``saw`` with
    each that was printed. Its async method ``run`` runs meanwhile until it is cancelled. None of
    them raises anything that should not end the command.
    """

    path: str

    def __post_init__(self) -> None:
        _check_path(self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Everything that one package adds; ``title`` heads its commands in ``--help``.

    ``history_categories`` are those in which ``history KEY`` looks for a bare key: with
    ``("order/",)``, ``history 17`` shows the stream ``order/17``.
    """

    title: str
    commands: tuple[Command, ...] = ()
    event_lines: tuple[EventLines, ...] = ()
    status_sections: tuple[StatusSection, ...] = ()
    rebuilds: tuple[Rebuild, ...] = ()
    checkpoints: tuple[Checkpoints, ...] = ()
    keepers: tuple[Keeper, ...] = ()
    log_checks: tuple[LogCheck, ...] = ()
    routes: tuple[Routes, ...] = ()
    metrics: tuple[MetricsGroup, ...] = ()
    views: tuple[View, ...] = ()
    view_rebuilds: tuple[ViewRebuild, ...] = ()
    history_categories: tuple[str, ...] = ()
    tail_companions: tuple[TailCompanion, ...] = ()

    def __post_init__(self) -> None:
        _check_text("title", self.title)
        for field in fields(self):
            if field.name != "title":
                _check_items(field.name, getattr(self, field.name))


_KINDS: Final = {
    "commands": Command,
    "event_lines": EventLines,
    "status_sections": StatusSection,
    "rebuilds": Rebuild,
    "checkpoints": Checkpoints,
    "keepers": Keeper,
    "log_checks": LogCheck,
    "routes": Routes,
    "metrics": MetricsGroup,
    "views": View,
    "view_rebuilds": ViewRebuild,
    "history_categories": str,
    "tail_companions": TailCompanion,
}


def _check_items(name: str, items: object) -> None:
    kind = _KINDS[name]
    if not isinstance(items, tuple) or not all(isinstance(item, kind) for item in items):
        raise ManifestError(f"{name} is no tuple of {kind.__name__}")


def _check_texts(what: str, texts: object) -> None:
    if isinstance(texts, str) or not isinstance(texts, Sequence) or not texts:
        raise ManifestError(f"{what} {texts!r} are no tuple of texts")
    for text in texts:
        _check_text(what, text)


def _check_key(key: object) -> None:
    if not isinstance(key, str) or not key.isidentifier():
        raise ManifestError(f"{key!r} is no key such as 'replicas'")


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ManifestError(f"{name!r} is no name in lower case, such as 'order-totals'")


def _check_text(what: str, text: object) -> None:
    if not isinstance(text, str) or not text or not text.isprintable():
        raise ManifestError(f"{what} {text!r} is no single line of printable text")


def _check_path(path: object) -> None:
    if not isinstance(path, str) or not _PATH.fullmatch(path):
        raise ManifestError(f"{path!r} is no import path such as 'package.module:name'")
