"""The group of all commands; each is imported when it is used, not when it is listed."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from eventstore.cli.contributions import contributions
from eventstore.cli.option_groups import regroup, ungroup
from eventstore.cli.options import Json, LogFormat, Url, Utc, Verbose
from eventstore.cli.plain_values import take_plain_values
from eventstore.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping

    from eventstore.cli.contributions import Contribution
    from eventstore.cli.manifest import Command
    from eventstore.cli.options import Options

HELP_NAMES: Final = {"help_option_names": ["-h", "--help"]}


class CommandTable(MutableMapping[str, Any]):
    """The commands by name: made from their manifests at the first use of each.

    Commands of two words, such as ``consumers remove``, are one group under the first of them.
    """

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            known = contributions().commands
            subcommands = {
                words.removeprefix(f"{name} "): command
                for words, command in known.items()
                if words.startswith(f"{name} ")
            }
            self._made[name] = (
                make_group(name, known.get(name), subcommands)
                if subcommands
                else make_command(known[name])
            )
        return self._made[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._made[name] = command

    def __delitem__(self, name: str) -> None:
        del self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name.partition(" ")[0] for name in contributions().commands))

    def __len__(self) -> int:
        return sum(1 for _ in self)


class CommandGroup(TyperGroup):
    """Lists commands by the one-line helps of their manifests, without importing any."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = CommandTable()

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names in the order of the manifests."""
        return list(self.commands)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        """Write a section for each manifest's commands."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for name, command in contributions().commands.items():
            sections.setdefault(command.title, []).append((name, command.item.help))
        width = max(len(name) for name in contributions().commands)
        for title, rows in sections.items():
            with formatter.section(title):
                # Padded, so that the helps of all sections begin in one column.
                formatter.write_dl([(name.ljust(width), text) for name, text in rows])

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """Return the names of commands and options that begin so, without importing a command."""
        known = contributions().commands
        listed: dict[str, Any] = {
            name: TyperCommand(name, short_help=known[name].item.help if name in known else "")
            for name in self.commands
        }
        commands, self.commands = self.commands, listed
        try:
            return list(super().shell_complete(ctx, incomplete))
        finally:
            self.commands = commands


def make_command(contribution: Contribution[Command]) -> Any:
    """Import a command's function and make typer's command of it.

    Raises ConfigError, which names the distribution, for a function that is no command.
    """
    declared = contribution.item
    function = contribution.load(declared.path)
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    with _errors_of(contribution):
        app.command(
            declared.name.rpartition(" ")[2],
            cls=TyperCommand,
            help=inspect.getdoc(function),
            context_settings=HELP_NAMES,
        )(_callback(function, declared))
        return take_plain_values(get_command(app))


def make_group(
    name: str,
    own: Contribution[Command] | None,
    subcommands: Mapping[str, Contribution[Command]],
) -> Any:
    """Make a group of the commands whose first word is ``name``.

    ``own`` runs where no second word is given; without it that is the group's help.
    """
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    function = own.load(own.item.path) if own is not None else _no_command
    first = own or next(iter(subcommands.values()))
    with _errors_of(first):
        app.callback(
            invoke_without_command=own is not None,
            no_args_is_help=own is None,
            help=inspect.getdoc(function) if own is not None else None,
            context_settings=HELP_NAMES,
        )(_callback(function, first.item))
        group = take_plain_values(get_command(app))
    group.name = name
    group.commands = {word: make_command(command) for word, command in subcommands.items()}
    return group


async def _no_command(session: Any) -> None:  # its annotations are evaluated
    """Do nothing: the group shows its help instead."""


@contextmanager
def _errors_of(contribution: Contribution[Command]) -> Iterator[None]:
    """Turn what typer raises for a function that is no command into ConfigError."""
    try:
        yield
    except Exception as error:
        raise ConfigError(
            f"distribution {contribution.distribution!r}: {contribution.item.path} is no command: "
            f"{type(error).__name__}: {error}"
        ) from error


def _callback(
    function: Callable[..., Awaitable[int | None]], declared: Command
) -> Callable[..., None]:
    """Return what typer calls: ``function`` within a session, with the common options added."""
    own = _own_parameters(function)
    parameters = ungroup(own)
    common = _common({one.name for one in parameters})

    def callback(context: typer.Context, **values: Any) -> None:
        # A command needs the event loop; help and completion do not.
        from eventstore.cli.session import run  # noqa: PLC0415

        given: Options = context.obj
        options = given.override(**{one.name: values.pop(one.name) for one in common})
        if context.invoked_subcommand is not None:
            context.obj = options
            return
        status = run(
            options,
            lambda session: function(session, **regroup(own, values)),
            follows=not declared.interrupted and not _ends_by_itself(declared, values),
        )
        raise typer.Exit(status)

    context = inspect.Parameter(
        "context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context
    )
    shown = [context, *parameters, *common]
    callback.__annotations__ = {one.name: one.annotation for one in shown}
    callback.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
    return callback


def _ends_by_itself(declared: Command, values: Mapping[str, object]) -> bool:
    """Return whether a follower was given an option that makes it one-shot."""
    given = [
        values.get(option.removeprefix("--").replace("-", "_")) for option in declared.one_shot
    ]
    return any(value is not None and value is not False for value in given)


def _common(own: Collection[str]) -> list[inspect.Parameter]:
    """Return the options that every command takes, beside its ``own``.

    A command of another package may have a --verbose or --utc of its own, never another log.
    """
    keyword = inspect.Parameter.KEYWORD_ONLY
    return [
        inspect.Parameter(name, keyword, default=default, annotation=annotation)
        for name, default, annotation in (
            ("url", None, Url),
            ("json", False, Json),
            ("verbose", False, Verbose),
            ("utc", False, Utc),
            ("log_format", None, LogFormat),
        )
        if name in {"url", "json"} or name not in own
    ]


def _own_parameters(function: Callable[..., object]) -> list[inspect.Parameter]:
    """Return what a command takes beside the session, with its annotations evaluated."""
    _session, *own = inspect.signature(function, eval_str=True).parameters.values()
    keyword = inspect.Parameter.KEYWORD_ONLY
    return [one.replace(kind=keyword) for one in own if one.kind is not one.VAR_KEYWORD]
