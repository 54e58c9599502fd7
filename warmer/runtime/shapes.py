"""Dependency shapes: which columns every process's queries depend on, as all processes know it through Redis.

A process registers its own before its first load, so that whoever applies a change later computes the names
of its entries, too. What was learned is never forgotten: a server that lost its data is told again.

A restart or a failover may have lost them, and nothing says so but the server's life. So what was registered,
and what was counted, holds for one life (`Connections.round`), and is done again before the first load under
the next one. FLUSHALL loses them, and what is stored, without a new life: but then each shard's record of its
life is made anew, with another stamp (`since`), which a lease tells, and whoever applies changes must know.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from warmer.core.changes import RowShape
from warmer.core.keyspace import keyspace

if TYPE_CHECKING:
    from warmer.store.operations import Store

log = logging.getLogger("warmer")


class Shapes:
    """The shapes that this process knows: its own, and what others have registered."""

    def __init__(self, store: Store) -> None:
        self._store = store
        keys = keyspace(store.namespace, 0)
        self._key, self._life_key = keys.shapes, keys.life
        self._lock = threading.Lock()
        self._own: set[RowShape] = set()
        self._unregistered: set[RowShape] = set()
        self._by_table: dict[str, tuple[RowShape, ...]] = {}
        self._registered_in = 0  # the round in which our own were registered
        self._told_at = float("inf")  # when that was done, by time.monotonic
        self.count = -1  # how many are registered, as far as we know; -1: never asked
        self._counted_in = 0
        #: Of which record of its life that is. By its clock, since when all our own have been told; and
        #: after which record of each shard's life.
        self._counted_since = b""
        self._told_us = 0
        self._told_after: dict[int, bytes] = {}

    def declare(self, shapes: Iterable[RowShape]) -> None:
        """These are this process's own. Does no I/O."""
        with self._lock:
            new = set(shapes) - self._own
            self._own |= new
            self._unregistered |= new
            self._learn(new)

    def by_table(self) -> Mapping[str, Sequence[RowShape]]:
        """Every shape known, by table."""
        return self._by_table

    def columns_of(self, table: str) -> tuple[str, ...]:
        """The columns of a table that some query depends on, in a fixed order."""
        shapes = self._by_table.get(table, ())
        return tuple(sorted({column for shape in shapes for column, _ in shape.columns}))

    def register(self) -> None:
        """Tell the server of this process's own, if it has not been told. Raises ServerError."""
        at = self._store.connections.round
        if at == self._registered_in and not self._unregistered:
            return
        with self._lock:
            telling = set(self._unregistered if at == self._registered_in else self._own)
        self._tell(telling)
        with self._lock:
            self._unregistered -= telling
            self._registered_in, self._told_at = at, time.monotonic()

    def _tell(self, shapes: set[RowShape]) -> None:
        if not shapes:
            return
        texts = sorted(shape.text() for shape in shapes)
        reply = self._store.scripts.run("register_shapes", self._store.roots[0], [*texts])
        with self._lock:
            if shapes >= self._own:
                self._told_us = int(reply[1])

    def told_after(self, shard: int, since: bytes) -> bool:
        """Whether this process's own were told after the shard's record of its life was made.

        since: the stamp of that, as whoever has a lease there was told. If not, they are told now: the server
        may have lost them, and what was stored, without a new life. Raises ServerError.
        """
        known = self._told_after.get(shard)
        if known == since or not self._own:
            return True
        told = known is None and int(since) <= self._told_us
        if not told:
            with self._lock:
                telling = set(self._own)
            self._tell(telling)
        self._told_after[shard] = since
        return told

    @property
    def known(self) -> str:
        """How many are registered, and in which record of the server's life: as apply.lua compares it."""
        return f"{self.count} {self._counted_since.decode()}"

    @property
    def counted(self) -> bool:
        """Whether `count` is what this life of the server said: then who has as many knows all of them."""
        return self.count >= 0 and self._counted_in == self._store.connections.round

    def told_before(self, at: float) -> bool:
        """Whether writers knew all of this process's own by then (`time.monotonic`)."""
        return not self._own or (not self._unregistered and self._told_at <= at)

    def fetch(self) -> None:
        """Learn what others have registered. Raises ServerError."""
        at = self._store.connections.round
        self.register()
        since = self._store.command("HGET", self._life_key, "since") or b""  # before what it is to hold for
        fields = self._store.command("HKEYS", self._key)
        found = set()
        for text in fields:
            try:
                found.add(RowShape.read(text.decode()))
            except ValueError:
                log.warning("%s in %s is no dependency shape of this release", text, self._key)
        with self._lock:
            self._learn(found)
            self.count, self._counted_in, self._counted_since = len(fields), at, since

    def look(self) -> None:
        """Learn those of others once; tell a server that has lost them of ours again. Raises ServerError."""
        if not self.counted:
            self.fetch()
        since = self._store.command("HGET", self._life_key, "since")
        if since is not None:
            self.told_after(0, since)
        if self._own and int(self._store.command("HLEN", self._key)) < max(len(self._own), self.count):
            with self._lock:
                self._unregistered |= self._own
            self.fetch()

    def _learn(self, shapes: Iterable[RowShape]) -> None:
        known = {shape for some in self._by_table.values() for shape in some} | set(shapes)
        by_table: dict[str, list[RowShape]] = {}
        for shape in sorted(known, key=RowShape.text):
            by_table.setdefault(shape.table, []).append(shape)
        self._by_table = {table: tuple(some) for table, some in by_table.items()}
