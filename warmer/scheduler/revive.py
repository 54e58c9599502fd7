"""After the server's restart or failover nothing stored before is served: what is kept warm is due anew."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from warmer.core.keys import keyspace
from warmer.store.operations import Store

if TYPE_CHECKING:
    from warmer.namespace import Warmer

log = logging.getLogger("warmer")

#: About so many entries a script, and scripts for this long a step: the sweep's own work goes on between.
CHUNK, STEP_S = 200, 0.1
#: Over this time they fall due: at once what is read most, last what nobody reads.
SPREAD_US = 5_000_000
#: Where it may be trusted, so long they wait for that.
TRUST_WITHIN_US = 10_000_000


@dataclass(slots=True)
class _Pass:
    """One way through the indexes of a shard, for one life of the server."""

    life: bytes
    queries: list[bytes]
    cursor: bytes = b"0"
    revived: int = 0


class Reviver:
    """What one scheduler remembers of the server's lives. Any number of them may do the same work."""

    def __init__(self, namespace: Warmer) -> None:
        self._namespace = namespace
        self._passes: dict[int, _Pass] = {}

    def step(self) -> int:
        """A bounded part of what is to be made due; how many entries were. Raises ServerError."""
        store, revived = self._namespace.runtime().store, 0
        if self._may_be_trusted(store):
            return 0
        until_s = time.monotonic() + STEP_S
        for shard in range(store.settings.shards):
            way = self._way(store, shard)
            while way is not None and time.monotonic() < until_s:
                before = way.revived
                if self._go_on(store, shard, way):
                    way = None
                else:
                    revived += way.revived - before
        return revived

    def _may_be_trusted(self, store: Store) -> bool:
        """Whether what was stored before may be served again in a moment, and need not be loaded anew."""
        if self._namespace.settings.invalidate_through != "outbox":
            return False
        life = keyspace(store.namespace, 0).life
        current, trust, since = store.command("HMGET", life, "current", "trust", "since")
        decided = current is None or (trust or b"").startswith(current)
        return not decided and store.now_us() - float(since) < TRUST_WITHIN_US

    def _way(self, store: Store, shard: int) -> _Pass | None:
        """The way that is begun or to be begun; None: this life of the server is known."""
        keys = keyspace(store.namespace, shard)
        life, known = store.command("HMGET", keys.life, "current", "revived")
        if life is None or life == known:
            self._passes.pop(shard, None)
            return None
        way = self._passes.get(shard)
        if way is None or way.life != life:
            way = self._passes[shard] = _Pass(life, sorted(store.command("SMEMBERS", keys.queries)))
        return way

    def _go_on(self, store: Store, shard: int, way: _Pass) -> bool:
        """One script; whether that was the last."""
        if not way.queries:
            store.command("HSET", keyspace(store.namespace, shard).life, "revived", way.life)
            if way.revived:
                log.info("the server has begun a new life: %d entries are due anew", way.revived)
            self._passes.pop(shard, None)
            return True
        args: list[Any] = [way.queries[0], way.cursor, CHUNK, SPREAD_US]
        _, way.cursor, revived = store.scripts.run("revive", store.roots[shard], args)
        way.revived += int(revived)
        if int(way.cursor) == 0:
            way.queries.pop(0)
        return False
