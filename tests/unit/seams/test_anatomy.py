"""Every storage interface is a package of the same modules, with one factory."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

import pytest

from projections.seams.factory import StoreFactory

EVERY = ("model", "events", "factory")
PROJECTED = ("tables", "queries", "store")


@pytest.mark.parametrize("package", ["registry", "journal", "memories", "rules", "sql"])
def test_every_package_has_values_events_and_the_common_factory(package: str) -> None:
    for module in EVERY:
        assert find_spec(f"projections.{package}.{module}") is not None, module
    factory = import_module(f"projections.{package}.factory")
    assert isinstance(factory._factory, StoreFactory)


@pytest.mark.parametrize("package", ["registry", "journal", "memories"])
def test_every_projected_store_has_tables_queries_and_a_store(package: str) -> None:
    for module in PROJECTED:
        assert find_spec(f"projections.{package}.{module}") is not None, module
