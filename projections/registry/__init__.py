"""The registry: configurations of running bots or agents."""

from projections.registry.factory import get_registry
from projections.registry.model import Registration, RegistryChange
from projections.registry.protocol import RegistryProtocol
from projections.registry.store import Registry
from projections.registry.tables import RegistryTables

__all__ = [
    "Registration",
    "Registry",
    "RegistryChange",
    "RegistryProtocol",
    "RegistryTables",
    "get_registry",
]
