"""What one process keeps near, and whether it may be served.

- Copies are served while the tracking connection stands, and nothing else is doubted: hits look into `live`,
  which is empty at all other times, so they need to check nothing more.
- What this process invalidates it sees at once. Where the keys are known they are dropped; where only names
  are (tags, owners, tables), nothing is served until every message that the server had sent by then has been
  handled, which takes a round trip.
- When the connection is lost, what was there is set aside, unless some of it is doubted. It is served only to
  a read whose own GET has just found the server away, for what is left of `near`; it goes when the server
  answers a read or the tracking connection again, before anything else is kept. Another process, on the other
  side of a partition, may meanwhile invalidate what is served here: that is the exception that `near` stands
  for, and its seconds bound it.
- After a change of the server's life, nothing is left.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Protocol

from warmer.near.copies import Copies, Copy
from warmer.near.tracking import Tracking
from warmer.store.connections import Connections

if TYPE_CHECKING:
    from warmer.runtime.tallies import Tallies

log = logging.getLogger("warmer")

NOTHING: Mapping[bytes, Copy] = {}
#: Of a reader that found no copy: the turn of its key, and the time, before its GET.
Ticket = tuple[int, float]


class Counts(Protocol):
    """Where events are counted."""

    def add(self, event: str, n: int = 1) -> None:
        """Count an event."""

    def watch(self, event: str, read: Callable[[], int]) -> None:
        """Look for the count of an event here."""


class Near:
    """The copies of one namespace in one process. Its thread starts with the first near read."""

    def __init__(
        self, connections: Connections, counts: Counts, tallies: Tallies, most_bytes: int, most_entries: int
    ) -> None:
        self.live: Mapping[bytes, Copy] = NOTHING
        self.aside: Mapping[bytes, Copy] = NOTHING
        self._hits = 0
        self._tallies = tallies
        self._counts = counts
        self._copies = Copies(most_bytes, most_entries, self._tell)
        self._tracking = Tracking(connections, self)
        self._tracked: frozenset[bytes] = frozenset()
        self._life: bytes | None = None
        self._doubts = 0
        self._lock = threading.Lock()  # for what changes what may be served; a hit takes none
        counts.watch("near_hits", lambda: self.hits)
        tallies.gather = self._copies.tell_reads
        counts.watch("near_evictions", lambda: self._copies.evicted)
        _everywhere.add(self)

    # -- for readers

    def ticket(self, key: bytes, stems: tuple[bytes, ...]) -> Ticket | None:
        """Before the GET of an entry under these stems: what its reply needs to become a copy.

        None: writes to it are not heard of (yet), so it may not.
        """
        if self._tracked.issuperset(stems):
            return self._copies.turn(key), time.monotonic()
        self._tracking.want(stems)
        return None

    def known(self, key: bytes) -> Copy | None:
        """A copy that may be what is stored still, if asking is quicker than reading; not to be served."""
        return self._copies.known(key)

    def put(self, copy: Copy, turn: int, life: bytes) -> bool:
        """Keep a copy of what was read in this life of the server, unless it may have changed since."""
        if life != self._life:
            # The tracking connection is to a server that others have left: it would hear of nothing.
            self._tracking.renew()
            return False
        return self._copies.put(copy, turn)

    def reached(self) -> None:
        """The server has answered a read: what was set aside for its absence may be old."""
        if self.aside:
            with self._lock:
                self._forget_aside()

    @property
    def hits(self) -> int:
        """How many reads were answered from a copy."""
        self._copies.tell_reads()
        return self._hits

    # -- for whoever changes entries in this process; to be called when the server has done it

    def drop(self, keys: Iterable[bytes]) -> None:
        """These have changed."""
        with self._lock:
            self._forget_aside()
            self._count("near_invalidations", self._copies.drop(keys))

    def drop_under(self, stems: tuple[bytes, ...]) -> None:
        """Any entry under these stems may have changed."""
        with self._lock:
            self._forget_aside()
            self._count("near_invalidations", self._copies.drop_under(stems))

    def doubt(self) -> None:
        """Some entries have changed, and only the server knows which: serve nothing until it was heard."""
        with self._lock:
            self._forget_aside()
            if self._life is not None:
                self._doubts += 1
                self.live = NOTHING
                self._tracking.ask_to_catch_up(self._doubts)

    def drop_all(self) -> None:
        """Nothing that is here may be served again."""
        with self._lock:
            self._forget_aside()
            self._count("near_drops", len(self._copies.clear()))

    def renew(self) -> None:
        """The server is not what it was: drop everything, and listen to what it is now."""
        self.drop_all()
        self._tracking.renew()

    def close(self) -> None:
        """Drop everything and end the thread."""
        self.live = NOTHING
        self.drop_all()
        self._tracking.stop()

    # -- for the tracking connection, on its thread

    def heard_from(self, life: bytes, stems: frozenset[bytes]) -> None:
        """Writes under these stems are heard of from now on."""
        with self._lock:
            if life != self._life:
                self._forget_aside()
                self._count("near_drops", len(self._copies.clear()))
                self.live = self._copies.by_key
            self._life, self._tracked = life, stems

    def changed(self, keys: Collection[bytes] | None) -> None:
        """The server says that these have changed; None: everything."""
        if keys is None:
            self._count("near_drops", len(self._copies.clear()))
        else:
            self._count("near_invalidations", self._copies.set_apart(keys))

    def caught_up(self, asked: int) -> None:
        """What was doubted until then has been heard of."""
        with self._lock:
            if asked >= self._doubts and self._life is not None:
                self.live = self._copies.by_key

    def lost(self) -> None:
        """Nothing is heard of any more."""
        with self._lock:
            # What this process has changed may be among them, and nobody will say any more which it was.
            doubted = self._life is not None and self.live is NOTHING
            self.live, self._life, self._tracked = NOTHING, None, frozenset()
            held = self._copies.clear()
            if held:
                self.aside = NOTHING if doubted else held
                self._count("near_drops", len(held))
                log.info("the server says no more what changes: %d near copies are not served", len(held))

    # -- inside

    def _tell(self, copy: Copy) -> None:
        # Read once: another reader may count on meanwhile.
        reads = copy.reads
        new, copy.told = reads - copy.told, reads
        self._hits += new
        self._tallies.add(copy.key, copy.options, new)

    def _forget_aside(self) -> None:
        self.aside = NOTHING

    def _count(self, event: str, n: int) -> None:
        if n:
            self._counts.add(event, n)


_everywhere: weakref.WeakSet[Near] = weakref.WeakSet()


def _after_fork() -> None:
    """A child hears of nothing: its parent's copies are not to be served there, not even once."""
    for near in list(_everywhere):
        near.live = near.aside = NOTHING


os.register_at_fork(after_in_child=_after_fork)
