"""The blocking store: the log of :class:`eventstore.EventStore` by the same names, for threads.

It is the same code and no portal to an event loop: each call reads or writes in the thread that
makes it, and threads that append at the same time share transactions.
"""

from __future__ import annotations

from eventstore.store.blocking import EventStore, Reader
from eventstore.store.blocking_subscription import Commits, Subscription

__all__ = ["Commits", "EventStore", "Reader", "Subscription"]
