"""Reads, counted in the process and told now and then: they admit to being kept warm and rank refreshes."""

from __future__ import annotations

import time
from collections.abc import Callable

from warmer.options import Options
from warmer.store.operations import Store, Tally


class Tallies:
    """Counts of reads by entry key.

    Counting takes no lock: two threads may now and then lose a count between them, which a rate does not
    feel.
    """

    def __init__(self, store: Store, shard_of: Callable[[bytes], int], interval_s: float) -> None:
        self._store = store
        self._least_us = round(interval_s * 1e6)
        self._shard_of = shard_of
        self.counts: dict[bytes, int] = {}
        self.options: dict[bytes, Options] = {}
        self._since = time.monotonic()
        # Has reads added that were counted elsewhere, closer to their readers.
        self.gather: Callable[[], None] = lambda: None

    def add(self, key: bytes, options: Options, reads: int = 1) -> None:
        """One read of the entry at `key`, or several."""
        counts = self.counts
        counts[key] = counts.get(key, 0) + reads
        if key not in self.options:
            self.options[key] = options

    def flush(self) -> None:
        """Tell the server. What can't be told is dropped: counts are about now."""
        self.gather()
        counts, options = self.counts, self.options
        # In this order: a key that is found in the new counts has its options among the new ones.
        self.options, self.counts = {}, {}
        now = time.monotonic()
        # One that ends 10 ms after its first read has not read 100 times a second: before, it read nothing.
        span_us, self._since = max(self._least_us, round((now - self._since) * 1e6)), now
        by_shard: dict[int, list[Tally]] = {}
        # Copied in one step: a reader that got hold of these counts before the swap may still add to them.
        for key, reads in list(counts.items()):
            known = options.get(key)
            if known is None or known.keep == "never":
                continue
            member = key.decode().partition("}:e:")[2]
            by_shard.setdefault(self._shard_of(key), []).append(
                Tally(member, reads, known.keep, known.ttl_us, known.idle_us, known.max_kept)
            )
        for shard, tallies in by_shard.items():
            self._store.tally(shard, span_us, tallies)
