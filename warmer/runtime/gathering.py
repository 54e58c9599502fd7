"""Readers of one entry who find no connection free: one of them looks, and the others sleep until it has.

In a crowd, a reader that waited for a connection only to find nothing would be woken twice: to look, and by
the load. Each time it would compete for the interpreter with the thread that is about to load for them all.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from warmer.core.keys import EntryKey
from warmer.runtime.blocking import in_loop
from warmer.runtime.contract import Loadable, Outcome, Reader, finish
from warmer.runtime.handover import Handover
from warmer.store.operations import Found, Store

Join = Callable[[Loadable, EntryKey, Mapping[str, Any], Reader], Handover[Outcome]]


class Gathering:
    """Those for whom one of them looks, until it sends its question."""

    __slots__ = ("closed", "entry", "params", "query", "readers")

    def __init__(self, query: Loadable, entry: EntryKey, params: Mapping[str, Any]) -> None:
        self.query, self.entry, self.params = query, entry, params
        self.readers: deque[Reader] = deque()
        self.closed = False

    def add(self, reader: Reader) -> bool:
        """Whether it was in time. From any thread, and no two wait for each other."""
        self.readers.append(reader)
        if not self.closed:
            return True
        try:
            self.readers.remove(reader)
        except ValueError:
            return True  # it was taken with the others
        return False

    def take(self) -> list[Reader]:
        """Let nobody in any more; those who came in time, and were not taken before."""
        self.closed = True
        taken = []
        while self.readers:
            taken.append(self.readers.popleft())
        return taken


class Gatherings:
    """By key, at most one that is open."""

    def __init__(self, store: Store, join: Join) -> None:
        """join: has a reader's entry loaded."""
        self._store, self._join = store, join
        self._open: dict[bytes, Gathering] = {}
        self._closing = threading.Lock()

    def come(
        self, query: Loadable, entry: EntryKey, params: Mapping[str, Any], reader: Reader
    ) -> Handover[Outcome]:
        """Look for the entry, or have another look. What comes of it: "found", or what a load gives."""
        key = entry.key.encode()
        while True:
            mine = Gathering(query, entry, params)
            try:
                # A thread that runs an event loop does not stand still for what it can ask by itself.
                there = mine if in_loop() else self._open.setdefault(key, mine)
                if there is mine:
                    self._look(key, mine, reader)
                    return reader.future
                if there.add(reader):
                    return reader.future
            except BaseException:  # it was interrupted; the others go on
                reader.future.cancel()
                self._send_on(mine, self._close(key, mine))
                raise

    def about(self, key: bytes) -> tuple[EntryKey, Mapping[str, Any]] | None:
        """Entry and params of a key that is being looked for."""
        gathering = self._open.get(key)
        return None if gathering is None else (gathering.entry, gathering.params)

    def found_missing(self, key: bytes) -> None:
        """Somebody has looked, and found nothing: all who wait for a look here wait for the load."""
        gathering = self._open.get(key)
        if gathering is not None:
            self._send_on(gathering, self._close(key, gathering))

    def _look(self, key: bytes, mine: Gathering, reader: Reader) -> None:
        mine.readers.append(reader)
        there: tuple[Found, bytes] = None, b""
        looked_for: list[Reader] = []
        try:
            # Before it is sent: who comes later may not have what was read before it came.
            there = self._store.fetch(key, before=lambda: looked_for.extend(self._close(key, mine)))
        except BaseException:
            reader.future.cancel()  # before the others are sent on: nothing is loaded for it alone
            raise
        finally:
            looked_for += self._close(key, mine)
            if there[0] is None:
                self._send_on(mine, looked_for)
            else:
                finish(looked_for, Outcome("found", found=there))

    def _close(self, key: bytes, gathering: Gathering) -> list[Reader]:
        with self._closing:
            if self._open.get(key) is gathering:
                del self._open[key]
            return gathering.take()

    def _send_on(self, gathering: Gathering, readers: list[Reader]) -> None:
        for reader in readers:
            if not reader.future.cancelled():
                self._join(gathering.query, gathering.entry, gathering.params, reader)
