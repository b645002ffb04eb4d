"""Every test that takes a registry runs on every backend, and on both event loops where cheap."""

from __future__ import annotations

from support.pairs import anyio_backend, lasting_pair, lasting_url, opened, pair, url

from projections.registry import Registry

__all__ = ["anyio_backend", "lasting_pair", "lasting_url", "pair", "url"]


registry = opened(Registry)
