"""A clock that tests can move.

Entries, leases and due times go by the server's clock, so freezing Python's would not make them older. Each
shard has a key with an offset that every script adds to the server's time; this is what is moved.
"""

from __future__ import annotations

import contextlib
from datetime import timedelta

from warmer.core.keyspace import keyspace
from warmer.errors import InvalidOption, RedisUnreachable, show
from warmer.namespace import Warmer
from warmer.store.operations import Store
from warmer.testing.namespaces import running


class Clock:
    """The clock of one or more namespaces. It only goes forward, as stamps do.

    This process follows at once; others that use the namespaces follow within seconds, when they next
    compare clocks. What waits in real time (a reader for a load, a scheduler for its sweep) is not woken.
    """

    def __init__(self, *namespaces: Warmer) -> None:
        """Take over the clocks of these namespaces, where they stand."""
        if not namespaces:
            raise InvalidOption("Clock", "namespaces", "none", "one or more namespaces, as in Clock(flights)")
        self._namespaces = namespaces
        # Of its own, so that it goes on moving the clock of the server that it was made for, and of no other,
        # when a fixture points the namespace back at another.
        self._stores = [Store(namespace.namespace, namespace.settings) for namespace in namespaces]
        self._ahead_us = max(int(store.command("GET", _keys(store)[0]) or 0) for store in self._stores)

    @property
    def ahead_s(self) -> float:
        """How far the clock is ahead of the server's, in seconds."""
        return self._ahead_us / 1e6

    def advance(self, seconds: float | timedelta) -> None:
        """Move the clock forward. Raises InvalidOption for a negative step; nothing is moved then."""
        step_s = seconds.total_seconds() if isinstance(seconds, timedelta) else seconds
        if not step_s >= 0:
            raise InvalidOption("Clock", "advance", show(seconds), "0 or more seconds: stamps never go back")
        self._move_to(self._ahead_us + round(step_s * 1e6))

    def reset(self) -> None:
        """Put the clock back to the server's, for the end of a test; a server that has gone needs none."""
        with contextlib.suppress(RedisUnreachable):
            self._move_to(0)
        for store in self._stores:
            store.close()

    def _move_to(self, ahead_us: int) -> None:
        for store in self._stores:
            for key in _keys(store):
                # An absolute value, not INCRBY: a command whose reply was lost is sent again.
                store.command("SET", key, ahead_us)
        self._ahead_us = ahead_us
        for namespace, store in zip(self._namespaces, self._stores, strict=True):
            runtime = running(namespace)
            if runtime is not None and runtime.settings.redis_url == store.settings.redis_url:
                runtime.clock_moved()


def _keys(store: Store) -> list[str]:
    return [keyspace(store.namespace, shard).clock for shard in range(store.settings.shards)]
