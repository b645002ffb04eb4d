"""Marks that several modules of tests carry."""

from __future__ import annotations

from typing import Final

import pytest

ON_ASYNCIO: Final = pytest.mark.parametrize("anyio_backend", ["asyncio"])
"""For tests to which the event loop makes no difference."""
