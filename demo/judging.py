"""Why a read waited: proof, or it counts as an expiry.

A read that waited got a value with the lease stamp `after`. The value before it, as far as any reader of any
process saw one, had the lease stamp `before`. The wait was caused by an invalidation only if one of this very
entry is stamped between the two (by the server, in the sequence that orders the whole protocol):

    before < invalidation < after

and if no value that was loaded after that invalidation, unseen by all readers, can have expired in between:
it would have lived for ttl + grace, so `after - invalidation` must be less than that. Everything else is an
expiry, among it the waits for which no earlier value is known. Pure: no clock, no I/O.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from itertools import pairwise

__all__ = ["Evidence"]


class Evidence:
    """The stamps of all values that were seen and of all invalidations, by entry."""

    def __init__(self, lifetime_us: int) -> None:
        """lifetime_us: ttl + grace of the entries, in microseconds; the shortest where they differ."""
        self._lifetime_us = lifetime_us
        self._seen: defaultdict[int, list[int]] = defaultdict(list)
        self._invalidated: defaultdict[int, list[int]] = defaultdict(list)

    def saw(self, entry: int, stamp: int) -> None:
        """Somebody was given a value with this lease stamp. In any order, any number of times."""
        seen = self._seen[entry]
        at = bisect_left(seen, stamp)
        if at == len(seen) or seen[at] != stamp:
            seen.insert(at, stamp)

    def invalidated(self, entry: int, stamp: int) -> None:
        """An invalidation of the entry with this stamp has returned."""
        insort(self._invalidated[entry], stamp)

    def explains(self, entry: int, after: int) -> bool:
        """Whether an invalidation caused the wait for the value with the lease stamp `after`."""
        seen, stamps = self._seen[entry], self._invalidated[entry]
        earlier = bisect_left(seen, after)
        if earlier == 0:
            return False
        newest = bisect_left(stamps, after) - 1
        if newest < 0:
            return False
        return seen[earlier - 1] < stamps[newest] and after - stamps[newest] < self._lifetime_us

    def expiries(self, entry: int) -> int:
        """How often a value was replaced because of its age: no invalidation lies between it and the next."""
        seen, stamps = self._seen[entry], self._invalidated[entry]
        return sum(
            bisect_right(stamps, later) == bisect_right(stamps, earlier) for earlier, later in pairwise(seen)
        )

    def was_invalidated(self, entry: int) -> bool:
        """Whether any invalidation hit the entry."""
        return bool(self._invalidated.get(entry))

    def replaced(self) -> int:
        """How many values took the place of others, of all entries, for whatever reason."""
        return sum(len(seen) - 1 for seen in self._seen.values() if seen)
