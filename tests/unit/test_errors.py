"""Errors keep their type, text and fields when they are copied, or sent to another process."""

from __future__ import annotations

import copy
import inspect
import pickle
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import TYPE_CHECKING, Any, Final

import pytest

import eventstore
import projections
from eventstore import errors
from eventstore.errors import EventStoreError, InvalidInputError, StorageError, StoreClosedError
from eventstore.system.file_holders import Holder
from eventstore.system.secret_url import SecretUrl
from projections.sql.postgres._guard import Made

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

VALUES: Final[dict[str, Any]] = {
    "str": "rule/Ä",
    "int": 2**70,
    "float": 2.5,
    "bool": True,
    "Path": Path("/a/b"),
    "Path | str": Path("/a/b"),
    "Made": Made("", "person"),
    "Holder": Holder("process 7 (x)", 7, "host", "x", stopped=True),
    "int | str": "STREAM_EXISTS",
    "int | None": 3,
    "Sequence[int]": [1, 2],
    "Sequence[str]": ["a", "b"],
    "tuple[str, ...]": ("a", "b"),
    "Mapping[str, int | None]": {"a": 1, "b": None},
    "Mapping[str, str] | None": {"a": "b"},
}
"""A value for each annotation of an argument. A new one in an error's ``__init__`` adds a line."""


def _error_classes() -> Iterator[type[BaseException]]:
    for package in (eventstore, projections):
        for module in walk_packages(package.__path__, f"{package.__name__}."):
            if module.name.endswith("__main__"):
                continue
            for value in vars(import_module(module.name)).values():
                if inspect.isclass(value) and issubclass(value, BaseException):
                    yield value


CLASSES: Final = sorted(
    {
        kind
        for kind in _error_classes()
        if kind.__module__.partition(".")[0] in {"eventstore", "projections"}
    },
    key=lambda kind: (kind.__module__, kind.__qualname__),
)


def _make(kind: type[BaseException]) -> BaseException:
    if not inspect.isfunction(kind.__init__):  # That of an exception of Python's own.
        return kind("what happened", 7)
    parameters = list(inspect.signature(kind.__init__).parameters.values())[1:]
    values = {one.name: VALUES[str(one.annotation).strip("'\"")] for one in parameters}
    return kind(**values)


def _pickled(protocol: int) -> Callable[[Any], Any]:
    return lambda error: pickle.loads(pickle.dumps(error, protocol))


WAYS: Final[dict[str, Callable[[Any], Any]]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{f"protocol {n}": _pickled(n) for n in range(pickle.HIGHEST_PROTOCOL + 1)},
}


def test_the_walk_finds_the_errors_of_both_packages() -> None:
    assert {StorageError, InvalidInputError} < set(CLASSES)
    assert {kind.__module__.partition(".")[0] for kind in CLASSES} == {"eventstore", "projections"}


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_every_error_survives_copying_and_pickling(kind: type[BaseException]) -> None:
    error = _make(kind)
    error.add_note("while reading")
    error.__cause__ = KeyError("its cause")
    for way in WAYS.values():
        again = way(error)
        assert type(again) is kind
        assert (str(again), repr(again), again.args) == (str(error), repr(error), error.args)
        assert vars(again) == vars(error)
        assert again.__notes__ == ["while reading"]
        # Python's own exceptions lose it as well; a process pool sets another one.
        assert again.__cause__ is None


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_an_error_within_an_error_survives(way: Callable[[Any], Any]) -> None:
    inner = StorageError("sqlite:///a.db", "gone", transient=True)
    outer = StoreClosedError("closed", inner)
    group = ExceptionGroup("several", [outer, InvalidInputError("after", "is no position")])
    again = way(group)
    assert str(again.exceptions[0].args[1]) == "sqlite:///a.db: gone"
    assert again.exceptions[0].args[1].transient
    assert again.exceptions[1].what == "after"


class _TableError(StorageError):
    """As an application may derive it: with other arguments than the base."""

    def __init__(self, *, table: str) -> None:
        super().__init__("here", f"no table {table}")
        self.table = table


class _SlotError(StorageError):
    """As an application may derive it: with a field outside of its dictionary."""

    __slots__ = ("column",)

    def __init__(self, *, column: str) -> None:
        super().__init__("here", f"no column {column}")
        self.column = column


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_an_error_with_a_field_in_a_slot_survives(way: Callable[[Any], Any]) -> None:
    again = way(_SlotError(column="id"))
    assert (type(again), again.column, again.where) == (_SlotError, "id", "here")


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_note_for_the_copy_is_none_for_the_first(way: Callable[[Any], Any]) -> None:
    error = StorageError("here", "gone")
    error.add_note("for both")
    way(error).add_note("for the copy")
    assert error.__notes__ == ["for both"]


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_an_error_that_a_program_derives_survives(way: Callable[[Any], Any]) -> None:
    again = way(_TableError(table="bots"))
    assert (type(again), again.table, again.where) == (_TableError, "bots", "here")


def _pickle_of_an_older_version(name: str) -> bytes:
    """Return a pickle as versions with one module ``eventstore.errors`` made it, in protocol 0."""
    text = f"ceventstore.picklable\n_make_again\n(ceventstore.errors\n{name}\n(Vfull\nttR"
    return f"{text}(dVreason\nVfull\nsb.".encode()


@pytest.mark.parametrize("name", [name for name in vars(errors) if name.endswith("Error")])
def test_programs_of_other_versions_read_the_same_pickles(name: str) -> None:
    kind = getattr(errors, name)
    again = pickle.loads(_pickle_of_an_older_version(name))
    assert (type(again), again.args, again.reason) == (kind, ("full",), "full")
    assert f"ceventstore.errors\n{name}\n".encode() in pickle.dumps(again, 0)


def test_a_deep_copy_shares_no_field_and_leaves_the_first_as_it_is() -> None:
    error = _make(next(kind for kind in CLASSES if kind.__name__ == "NotAppliedError"))
    assert isinstance(error, EventStoreError)
    again: Any = copy.deepcopy(error)
    again.behind["a"] = 99
    again.add_note("mine")
    assert error.behind == {"a": 1, "b": None}  # type: ignore[attr-defined]
    assert not hasattr(error, "__notes__")


def test_a_password_stays_redacted() -> None:
    where = str(SecretUrl.of("postgresql://me:s3cret@127.0.0.1/db?password=s3cret"))
    error = StorageError(where, "refused")
    for way in WAYS.values():
        again = way(error)
        assert "s3cret" not in f"{again} {again!r} {vars(again)}"
    assert b"s3cret" not in pickle.dumps(error)
