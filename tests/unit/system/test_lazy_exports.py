"""Public names that are imported at their first use are as good as others."""

from __future__ import annotations

from importlib import import_module

import pytest


@pytest.mark.parametrize("package", ["eventstore", "projections", "projections.rules"])
def test_every_public_name_is_there(package: str) -> None:
    module = import_module(package)
    names = module.__all__
    assert len(names) > 5
    assert all(getattr(module, name) is not None for name in names)
    assert dir(module) == sorted(names)
    namespace: dict[str, object] = {}
    exec(f"from {package} import *", namespace)
    assert set(names) <= set(namespace)


@pytest.mark.parametrize("package", ["eventstore", "projections", "projections.rules"])
def test_another_name_is_an_attribute_error(package: str) -> None:
    module = import_module(package)
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'Nothing'"):
        _ = module.Nothing
