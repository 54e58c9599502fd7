"""Threads who come to a flight between two of its questions: one reader for all of them.

Nobody is entered anywhere. A crowd is closed before the question is sent that is asked for it, so whoever
finds it open has begun before that question, and before the load that it may lead to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from warmer.core.keys import EntryKey
from warmer.runtime.contract import Loadable, Outcome, Reader
from warmer.runtime.handover import Handover, Shared

Join = Callable[[Loadable, EntryKey, Mapping[str, Any], Reader], object]


class Crowds:
    """By key, at most one that is open."""

    def __init__(self, join: Join, join_anew: Join) -> None:
        """join: has a reader's entry loaded. join_anew: the same, however far an interrupted `join` came."""
        self._join, self._join_anew = join, join_anew
        self.open: dict[bytes, Reader] = {}

    def come(self, query: Loadable, entry: EntryKey, params: Mapping[str, Any]) -> Handover[Outcome]:
        """Wait with those who are there, or as the first of others. From any thread."""
        key, mine = entry.key.encode(), Reader(future=Shared())
        try:
            there = self.open.setdefault(key, mine)
            if there is mine:
                self._join(query, entry, params, mine)
        except BaseException:  # it was interrupted; others may have come
            if self.open.get(key) is mine:
                self._join_anew(query, entry, params, mine)
            raise
        return there.future

    def close(self, key: bytes, asking: Sequence[Reader]) -> Reader | None:
        """Let nobody in any more: a question is about to be sent for these readers. The crowd among them."""
        crowd = self.open.get(key)
        return self.open.pop(key, None) if crowd in asking else None
