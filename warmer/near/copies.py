"""The copies themselves: bounded by bytes and entries, read without a lock.

Eviction is SIEVE (Zhang et al., NSDI 2024): a hit only counts in its copy, and a hand that goes from the
oldest to the newest takes the first that was not read since it came by. It keeps what is read again better
than LRU does, and, what matters here, a hit moves nothing: readers share no lock and no list.

The turn of a key is what keeps an old reply out. A reader notes it before its GET is sent; every message on
the key gives it a new one, never used before; a copy is taken in only if the turn is still the one noted.

A message does not say what has changed: it may be no more than an entry's times. So a copy that is dear to
read anew is not let go, but set apart: nobody is served it, and who next reads the entry may learn from what
stands before the value whether it is the same (see warmer.near.confirming).
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from warmer.core.copying import Copier
from warmer.core.header import Times
from warmer.options import Options

# Keys share turns: a message on another key of the same turn costs a reader one copy, and nothing else.
TURNS = 1024
# To read anew what takes less than this is as quick as to ask whether it must be.
DEAR_BYTES = 16_384
#: In place of a value: it can be changed, so each reader gets its own.
AFRESH: Any = object()


@dataclass(slots=True, eq=False)
class Copy:
    """One entry, as it was read: `value` if readers may share it, else AFRESH, and `make(source)` for each.

    source: what is decoded, or what is kept of a value for `make` alone (see warmer.core.copying).

    until, calm_until: by the monotonic clock, in seconds; not served from the one on, and from the other on,
    which is never later, there is more to do than to serve it. times: the fields of its header. front: what
    else stands before the value, see warmer.core.payload. reads: counted by readers without a lock, as
    tallies are; told: those that the tallies know of; passed: those when the hand last came by.
    """

    key: bytes
    value: Any = field(repr=False)
    source: Any = field(repr=False)
    make: Copier = field(repr=False)
    times: Times
    front: bytes = field(repr=False)
    options: Options
    weight: int
    until: float
    calm_until: float
    reads: int = 0
    told: int = 0
    passed: int = 0
    older: Copy | None = field(default=None, repr=False)
    newer: Copy | None = field(default=None, repr=False)

    def again(self, times: Times, front: bytes, until: float, calm_until: float) -> Copy:
        """A new copy of the same value."""
        what = self.key, self.value, self.source, self.make
        return Copy(*what, times, front, self.options, self.weight, until, calm_until)


class Copies:
    """At most so many bytes and entries. `by_key` may be read by anybody; what changes it takes the lock.

    apart: copies that had a message; they count, and make room, like the others.
    tell: called with a copy that has reads which were not told yet, and only then; under the lock.
    """

    def __init__(self, most_bytes: int, most_entries: int, tell: Callable[[Copy], None]) -> None:
        self.by_key: dict[bytes, Copy] = {}
        self.apart: dict[bytes, Copy] = {}
        self.weight = 0
        self.evicted = 0
        self._most_bytes, self._most_entries = most_bytes, most_entries
        self._tell = tell
        self._lock = threading.Lock()
        self._new_turn: Callable[[], int] = itertools.count(1).__next__
        self._turns = [0] * TURNS
        self._oldest: Copy | None = None
        self._newest: Copy | None = None
        self._hand: Copy | None = None

    def turn(self, key: bytes) -> int:
        """To be noted before the entry is asked for."""
        return self._turns[hash(key) % TURNS]

    def put(self, copy: Copy, turn: int) -> bool:
        """Take a copy in, unless its key has had another turn since; whether it was."""
        if copy.weight > self._most_bytes:
            return False
        with self._lock:
            if self._turns[hash(copy.key) % TURNS] != turn:
                return False
            self._remove_key(copy.key)
            while self._is_full(copy.weight):
                self._remove(self._unread())
                self.evicted += 1
            self._append(copy)
            return True

    def known(self, key: bytes) -> Copy | None:
        """A copy that may be what is stored still, be it served or not, if that is worth asking."""
        copy = self.apart.get(key) or self.by_key.get(key)
        return copy if copy is not None and copy.weight >= DEAR_BYTES else None

    def drop(self, keys: Iterable[bytes]) -> int:
        """Let go of these and give them a new turn; how many were there."""
        dropped = 0
        with self._lock:
            for key in keys:
                self._turns[hash(key) % TURNS] = self._new_turn()
                dropped += self._remove_key(key)
        return dropped

    def set_apart(self, keys: Iterable[bytes]) -> int:
        """These had a message: `drop`, but for what is dear to read anew. How many were served until now."""
        served = 0
        with self._lock:
            for key in keys:
                self._turns[hash(key) % TURNS] = self._new_turn()
                copy = self.by_key.get(key)
                served += copy is not None
                if copy is not None and copy.weight >= DEAR_BYTES:
                    self.apart[key] = self.by_key.pop(key)
                elif copy is not None:
                    self._remove(copy)
        return served

    def drop_under(self, stems: tuple[bytes, ...]) -> int:
        """Let go of every key that begins like this; all keys have a new turn."""
        with self._lock:
            self._turns = [self._new_turn()] * TURNS
            under = [key for key in (*self.by_key, *self.apart) if key.startswith(stems)]
            return sum(map(self._remove_key, under))

    def clear(self) -> dict[bytes, Copy]:
        """Let go of everything and give all keys a new turn; what was served until now."""
        with self._lock:
            self._turns = [self._new_turn()] * TURNS
            held = dict(self.by_key)
            self._tell_all()
            self.by_key.clear()
            self.apart.clear()
            self._oldest = self._newest = self._hand = None
            self.weight = 0
        return held

    def tell_reads(self) -> None:
        """Tell of all reads until now."""
        with self._lock:
            self._tell_all()

    def _is_full(self, more_bytes: int) -> bool:
        entries = len(self.by_key) + len(self.apart)
        return entries >= self._most_entries or self.weight + more_bytes > self._most_bytes

    def _tell_all(self) -> None:
        for copy in (*self.by_key.values(), *self.apart.values()):
            if copy.reads != copy.told:
                self._tell(copy)

    def _append(self, copy: Copy) -> None:
        self.by_key[copy.key] = copy
        self.weight += copy.weight
        copy.older = self._newest
        if self._newest is not None:
            self._newest.newer = copy
        else:
            self._oldest = copy
        self._newest = copy

    def _remove_key(self, key: bytes) -> bool:
        """Let go of its copy, wherever it is; whether it was served until now."""
        served = key in self.by_key
        copy = self.by_key.get(key) or self.apart.get(key)
        if copy is not None:
            self._remove(copy)
        return served

    def _remove(self, copy: Copy) -> None:
        if self._hand is copy:
            self._hand = copy.newer
        if copy.older is not None:
            copy.older.newer = copy.newer
        else:
            self._oldest = copy.newer
        if copy.newer is not None:
            copy.newer.older = copy.older
        else:
            self._newest = copy.older
        del (self.by_key if copy.key in self.by_key else self.apart)[copy.key]
        self.weight -= copy.weight
        if copy.reads != copy.told:
            self._tell(copy)

    def _unread(self) -> Copy:
        """Where the hand stops: the next copy that was not read since it came by."""
        copy = self._hand or self._oldest
        while copy is not None and copy.reads != copy.passed:
            copy.passed = copy.reads
            copy = copy.newer or self._oldest
        assert copy is not None, "asked for only while there are copies"
        self._hand = copy
        return copy
