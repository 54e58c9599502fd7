"""Threads who come to a flight between two of its questions: one reader for all of them.

Nobody is entered anywhere. A crowd is closed before the question is sent that is asked for it, so whoever
finds it open has begun before that question, and before the load that it may lead to.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from warmer.core.keys import EntryKey
from warmer.runtime.contract import Loadable, Outcome, Reader
from warmer.runtime.handover import Handover, Shared

Join = Callable[[Loadable, EntryKey, Mapping[str, Any], Reader], object]

#: They have one time to wait between them, so they come within this of one another.
COME_WITHIN_S: Final = 0.05


class Crowds:
    """By key, at most one that is open."""

    def __init__(self, join: Join, join_anew: Join) -> None:
        """join: has a reader's entry loaded. join_anew: the same, however far an interrupted `join` came."""
        self._join, self._join_anew = join, join_anew
        self._open: dict[bytes, Reader] = {}

    def find(self, key: bytes) -> Reader | None:
        """The crowd that one may wait with who comes now. From any thread."""
        crowd = self._open.get(key)
        return crowd if crowd is not None and time.monotonic() < crowd.began + COME_WITHIN_S else None

    def may_open(self, key: bytes) -> bool:
        """Whether none is open, not even one that nobody comes to any more."""
        return key not in self._open

    def open(self, query: Loadable, entry: EntryKey, params: Mapping[str, Any]) -> Handover[Outcome]:
        """Wait as the first of others, or with who was first at the same moment. From any thread."""
        key, mine = entry.key.encode(), Reader(began=time.monotonic(), future=Shared(), extra_s=COME_WITHIN_S)
        try:
            there = self._open.setdefault(key, mine)
            if there is mine:
                self._join(query, entry, params, mine)
        except BaseException:  # it was interrupted; others may have come
            if self._open.get(key) is mine:
                self._join_anew(query, entry, params, mine)
            raise
        return there.future

    def close(self, key: bytes, readers: Sequence[Reader]) -> None:
        """Let nobody in any more, if it is one of these: they are about to be asked for, or told."""
        if self._open.get(key) in readers:
            self._open.pop(key, None)
