"""The factory of every store: a setting chooses the kind, and stores may be one per process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, TypeVar

from eventstore.config import PREFIX, load_settings
from eventstore.errors import ConfigError
from eventstore.system.fork_hooks import ForkLock

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

    from eventstore.config import Settings

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Recipe(NamedTuple, Generic[T]):
    """How to make a store. Recipes with an equal ``key`` give one store per process.

    With a ``key`` of ``None`` each call of the factory makes a store of its own.
    """

    key: Hashable | None
    make: Callable[[], T]


class LogStore(Protocol[T_co]):
    """A store's class, which opens the log at a URL."""

    def __call__(self, url: str, /, *, notify: str = ..., poll: float = ...) -> T_co:
        """Return a store, not open yet."""


class StoreFactory(Generic[T]):
    """Makes the store that a setting chooses; may be called from any thread.

    ``setting`` is a field of :class:`~eventstore.config.Settings` (its environment variable is
    ``EVENTSTORE_`` and the name in capitals), ``kinds`` what each of its values means. A store
    for which ``usable`` is False, a closed one for example, is replaced by a new one.
    """

    def __init__(
        self,
        setting: str,
        kinds: Mapping[str, Callable[[Settings], Recipe[T]]],
        *,
        usable: Callable[[T], bool] = lambda _: True,
    ) -> None:
        self._setting = setting
        self._kinds = kinds
        self._usable = usable
        self._lock = ForkLock()
        self._stores: dict[Hashable, T] = {}

    def get(self) -> T:
        """Return the store; raise ConfigError, a ValueError, that names the known kinds."""
        settings = load_settings()
        recipe = self._kind(getattr(settings, self._setting))(settings)
        if recipe.key is None:
            return recipe.make()
        with self._lock:
            store = self._stores.get(recipe.key)
            if store is None or not self._usable(store):
                store = self._stores[recipe.key] = recipe.make()
            return store

    def pop(self, chosen: Callable[[Hashable], bool]) -> list[T]:
        """Forget the stores with chosen keys, and return them to be closed."""
        with self._lock:
            return [self._stores.pop(key) for key in list(self._stores) if chosen(key)]

    def _kind(self, value: str) -> Callable[[Settings], Recipe[T]]:
        name = value.strip().lower()
        if name not in self._kinds:
            variable = PREFIX + self._setting.upper()
            raise ConfigError(
                f"{variable} is {value!r:.80}: it must be one of {', '.join(self._kinds)}"
            )
        return self._kinds[name]


def log_kinds(store: LogStore[T]) -> dict[str, Callable[[Settings], Recipe[T]]]:
    """Return the kinds of a store that callers open and close themselves.

    ``database`` is the log at ``EVENTSTORE_URL``; ``memory`` is a log in memory, which is lost
    when it is closed, for tests.
    """

    def database(settings: Settings) -> Recipe[T]:
        return Recipe(
            None,
            lambda: store(settings.url, notify=settings.notify, poll=settings.poll_seconds),
        )

    def memory(settings: Settings) -> Recipe[T]:
        return Recipe(None, lambda: store("memory://", poll=settings.poll_seconds))

    return {"database": database, "memory": memory}
