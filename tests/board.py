"""A query whose loads a test can count, hold up and make fail."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from warmer import Query, Warmer
from warmer.runtime.process import Runtime


class Board:
    """A namespace with one query, `departures(airport)`, that returns how often it was loaded."""

    def __init__(
        self, namespace: str, redis_url: str, *, settings: dict[str, Any] | None = None, **options: Any
    ) -> None:
        self.flights = Warmer(namespace, redis_url=redis_url, **(settings or {}))
        self._lock = threading.Lock()
        self.loads = 0
        self.during: Callable[[int], None] = lambda load: None

        def departures(airport: str) -> int:
            with self._lock:
                self.loads += 1
                load = self.loads
            self.during(load)
            return load

        declared = {"ttl": 60, "name": "departures", "version": "v", "tags": ("all",), **options}
        self.departures: Query[[str], int] = self.flights.cached(**declared)(departures)

    @property
    def runtime(self) -> Runtime:
        return self.flights.runtime()

    def close(self) -> None:
        self.flights.close()
