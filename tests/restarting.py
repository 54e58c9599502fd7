"""Restarting a server under namespaces that go on using it."""

from __future__ import annotations

from warmer import Warmer
from warmer.testing import RedisServer, ValkeyServer, wait_until


def restart(server: ValkeyServer | RedisServer, *namespaces: Warmer, kill: bool = False) -> None:
    """Restart it, and wait until these namespaces use it again."""
    server.restart(kill=kill)
    wait_back(*namespaces)


def wait_back(*namespaces: Warmer) -> None:
    """Wait until these use their server again, which has just come back.

    A thread of theirs that had something to ask meanwhile has found it away: then reads go around it for a
    moment, and invalidations raise. Who counts loads from here on must not count those.
    """
    breakers = [flights.runtime().store.connections.breaker for flights in namespaces]
    wait_until(lambda: not any(one.open for one in breakers), "the server to be used again")
