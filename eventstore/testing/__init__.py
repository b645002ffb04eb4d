"""What tests of programs on the log need: a clock to set, a store per test, contract suites.

The fixtures are those of the pytest plugin (:mod:`eventstore.testing.plugin`), which is there once
the package is installed. What needs projections is in :mod:`projections.testing`.
"""

from eventstore.testing.clock import START_US, FakeClock

__all__ = ["START_US", "FakeClock"]
