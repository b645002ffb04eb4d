"""How long a test runs: briefly by default, longer in the slow lane and by ``-m soak``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from _pytest.mark.structures import ParameterSet


def lengths(
    names: str | tuple[str, ...], short: Any, *, slow: Any = None, soak: Any, timeout: int
) -> pytest.MarkDecorator:
    """Run a test with ``short``; marked ``slow`` with ``slow``, marked ``soak`` with ``soak``.

    Each is the value of the one argument in ``names``, or a tuple with the values of several.
    ``timeout`` is the longest time of the soak run, in seconds.
    """
    marks = [pytest.mark.soak, pytest.mark.timeout(timeout)]
    cases = [_case(names, short), _case(names, soak, *marks)]
    if slow is not None:
        cases.insert(1, _case(names, slow, pytest.mark.slow))
    return pytest.mark.parametrize(names, cases)


def _case(names: str | tuple[str, ...], value: Any, *marks: pytest.MarkDecorator) -> ParameterSet:
    return pytest.param(*([value] if isinstance(names, str) else value), marks=marks)
