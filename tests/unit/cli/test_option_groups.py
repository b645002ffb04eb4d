"""Groups of options: each field is an option, and the command is given one object."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Annotated

import pytest
import typer

from eventstore.cli.option_groups import Described, regroup, ungroup

pytestmark = pytest.mark.unit

OWN = typer.Option(help="The colour.")
GIVEN = typer.Option(help="The size.")


@dataclass(frozen=True)
class Look:
    colour: Annotated[str, OWN]
    tall: bool = False


@dataclass(frozen=True)
class Plain:
    size: int = 3
    hidden: int = 4


def command(
    name: str, *, look: Look, plain: Annotated[Plain, Described({"size": GIVEN})], end: int = 0
) -> None:
    """Take two groups between options of its own."""


PARAMETERS = list(inspect.signature(command, eval_str=True).parameters.values())


def test_a_group_is_replaced_by_its_fields_where_it_stands() -> None:
    found = {one.name: one for one in ungroup(PARAMETERS)}
    assert list(found) == ["name", "colour", "tall", "size", "end"]
    assert found["colour"].annotation.__metadata__ == (OWN,)
    assert found["colour"].default is inspect.Parameter.empty
    assert (found["tall"].annotation, found["tall"].default) == (bool, False)
    assert found["size"].annotation == Annotated[int, GIVEN]
    assert found["size"].default == 3


def test_the_command_is_given_one_object_for_each_group() -> None:
    values = {"name": "a", "colour": "red", "tall": True, "size": 9, "end": 1}
    assert regroup(PARAMETERS, values) == {
        "name": "a",
        "look": Look("red", tall=True),
        "plain": Plain(9),
        "end": 1,
    }
    assert len(values) == 5
