"""How many examples a property is tried with: a few in the default run, all in a lane of CI."""

from __future__ import annotations

import os
from typing import Final

from hypothesis import HealthCheck, settings

VARIABLE: Final = "RULETIDE_EXAMPLES"
"""Environment variable: ``all`` tries every property at full length."""
SHARE: Final = 6
"""The default run tries one example in so many."""


def examples(most: int) -> int:
    """Return ``most`` where all are asked for, and otherwise a share of it, two at the least."""
    return most if os.environ.get(VARIABLE) == "all" else max(2, most // SHARE)


def model_settings(most: int, steps: int) -> settings:
    """Return the settings of a model that drives a store: so many runs of so many steps each."""
    return settings(
        max_examples=examples(most),
        stateful_step_count=steps,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
