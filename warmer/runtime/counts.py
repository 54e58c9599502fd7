"""How often each kind of event has happened in this process."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable


class Counts:
    """What this process has done, by event; exported as metrics."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._watched: dict[str, Callable[[], int]] = {}

    def add(self, event: str, n: int = 1) -> None:
        """Count an event."""
        with self._lock:
            self._counts[event] += n

    def watch(self, event: str, read: Callable[[], int]) -> None:
        """Have an event that is counted elsewhere, without a lock, among the counts once it has happened."""
        self._watched[event] = read

    def snapshot(self) -> dict[str, int]:
        """All counts so far."""
        watched = {event: n for event, read in self._watched.items() if (n := read())}
        with self._lock:
            return dict(self._counts) | watched
