"""Everything that goes wrong in a run, at random times that its seed decides."""

from __future__ import annotations

import random
import shutil
import time
from collections import Counter

import redis

from tests.faults.harness.children import Children
from tests.faults.harness.oracle import BOOKINGS
from tests.faults.harness.tables import Queries
from warmer.core.keyspace import keyspace
from warmer.testing import ValkeyServer

#: Seconds from one disturbance to the next of its kind, on average.
EVERY_S = {"pause": 0.8, "kill": 2.5, "swap": 0.5, "snapshot": 5.0, "restore": 15.0}
#: Where trust is to return: snapshots that lack little, and lives that are long and quiet enough for it.
EVERY_S_TRUSTED = EVERY_S | {"pause": 1.6, "kill": 5.0, "snapshot": 2.0, "restore": 12.0}


class Disturbing:
    """Pauses and kills processes, swaps private values, and brings the server back from an old snapshot."""

    def __init__(
        self, children: Children, server: ValkeyServer, queries: Queries, dice: random.Random
    ) -> None:
        self._children, self._server, self._dice = children, server, dice
        self._setting, self._oracle = children.setting, children.setting.oracle
        self._every_s = EVERY_S_TRUSTED if children.setting.trust else EVERY_S
        keys = [queries.booking.bind(number).key for number in BOOKINGS]
        # Disjoint, or a value could come back under its own key by two swaps, which is old and not foreign.
        self._from, self._to = keys[::2], keys[1::2]
        self._kept = server.data_dir / "kept.rdb"
        self.done: Counter[str] = Counter()
        #: What was decided of the entries before a restore, how often; and how many were adopted.
        self.decided: Counter[str] = Counter()
        began = time.monotonic()
        self._next = {kind: began + self._in(kind) for kind in self._every_s}
        self._next |= {"snapshot": began + 2.0, "kill": began + 3.0, "restore": began + 4.0}

    def _in(self, kind: str) -> float:
        return self._dice.expovariate(1.0 / self._every_s[kind])

    @property
    def complete(self) -> bool:
        """Whether each kind has been done."""
        return len(self.done) == len(self._every_s)

    def step(self) -> None:
        """Do what is due."""
        for kind, at in self._next.items():
            if time.monotonic() >= at:
                getattr(self, f"_{kind}")()
                self.done[kind] += 1
                self._next[kind] = time.monotonic() + self._in(kind)

    def look(self) -> None:
        """Count what this life of the server has decided about the entries of the one before."""
        if not (self._setting.trust and self.done["restore"]):
            return
        with redis.Redis.from_url(self._server.url, decode_responses=True) as client:
            current, said = client.hmget(keyspace(self._setting.namespace, 0).life, "current", "trust")
        life, _, what = (said or "").partition(" ")
        told, _, more = what.partition(": ") if life == current else ("nothing", "", "")
        self.decided[told] += 1
        if told == "returned":
            self.decided["adopted"] += int(more.split(" ")[0])

    def _pause(self) -> None:
        self._children.pause(self._dice)

    def _kill(self) -> None:
        self._children.kill(self._dice)

    def _swap(self) -> None:
        """A private value comes to stand under another user's key."""
        with redis.Redis.from_url(self._server.url) as client:
            value = client.get(self._dice.choice(self._from))
            if isinstance(value, bytes):
                client.set(self._dice.choice(self._to), value, px=3000)

    def _snapshot(self) -> None:
        with redis.Redis.from_url(self._server.url) as client:
            client.save()
        shutil.copy(self._server.data_dir / "dump.rdb", self._kept)

    def _restore(self) -> None:
        """kill -9 to the server; it comes back as it was at the last snapshot."""
        self.look()
        self._server.kill()
        self._oracle.set_back_at = time.time_ns() // 1000
        if self._kept.exists():
            shutil.copy(self._kept, self._server.data_dir / "dump.rdb")
        self._server.start()
