"""A query whose loads a test can count, hold up and make fail."""

from __future__ import annotations

import threading
from collections import defaultdict
from concurrent.futures import Future
from typing import Any, TypeVar

from tests.patience import PATIENCE_S, patient
from warmer import Query, Warmer
from warmer.runtime.contract import Reader
from warmer.runtime.handover import Shared
from warmer.runtime.process import Runtime
from warmer.testing import wait_until

R = TypeVar("R")


class Gate:
    """A place in a load where a test can hold it."""

    def __init__(self) -> None:
        self._entered, self._open = threading.Event(), threading.Event()

    def pass_through(self) -> None:
        self._entered.set()
        if not self._open.wait(PATIENCE_S):
            raise AssertionError("a gate was never opened")

    def wait_entered(self) -> None:
        """Wait until the load has begun and stands here."""
        if not self._entered.wait(PATIENCE_S):
            raise AssertionError("the load never came to its gate")

    def open(self) -> None:
        """Let it go on."""
        self._open.set()


class Board:
    """A namespace with one query, `departures(airport)`, whose value says the how-manieth load it came from.

    settings: of the namespace. options: of the query. What they don't say of waiting is a test's patience.
    """

    def __init__(
        self, namespace: str, redis_url: str, *, settings: dict[str, Any] | None = None, **options: Any
    ) -> None:
        self.flights = Warmer(namespace, redis_url=redis_url, **patient(settings or {}))
        self._lock = threading.Lock()
        self.loads = self.running = self.most_running = 0
        self.gates: defaultdict[int, Gate] = defaultdict(Gate)
        self._held: set[int] = set()
        self._failing: dict[int, BaseException] = {}

        def departures(airport: str) -> int:
            return self._load()

        declared: dict[str, Any] = {
            "ttl": 60, "name": "departures", "version": "v", "tags": ("all",), "wait": PATIENCE_S,
        }  # fmt: skip
        self.departures: Query[[str], int] = self.flights.cached(**(declared | options))(departures)

    def hold(self, *loads: int) -> Gate:
        """Have these loads (counted from 1) stand at their gate; the first one's gate."""
        self._held.update(loads)
        return self.gates[loads[0]]

    def fail(self, load: int, error: BaseException) -> None:
        """Have this load raise."""
        self._failing[load] = error

    def _load(self) -> int:
        with self._lock:
            self.loads += 1
            load = self.loads
            self.running += 1
            self.most_running = max(self.most_running, self.running)
        try:
            if load in self._held:
                self.gates[load].pass_through()
            if load in self._failing:
                raise self._failing[load]
            return load
        finally:
            with self._lock:
                self.running -= 1

    @property
    def runtime(self) -> Runtime:
        return self.flights.runtime()

    def count(self, event: str) -> int:
        """How often something has happened in this process."""
        return self.runtime.counts.snapshot().get(event, 0)

    def wait_joined(self, readers: int) -> None:
        """Wait until so many readers have joined the flight of an entry and wait there."""
        wait_until(lambda: self.waiting() >= readers, description=f"{readers} readers to wait")

    def waiting(self) -> int:
        """Readers of this process that wait and were told that somebody loads."""
        flights = list(self.runtime._flights.values())
        told = [r for flight in flights for r in list(flight.readers) if r.arrived is not None]
        return sum(threads_of(reader) for reader in told)

    def close(self) -> None:
        for gate in list(self.gates.values()):
            gate.open()
        self.flights.close()


def threads_of(reader: Reader) -> int:
    """How many wait as this reader: many threads may."""
    return reader.future.came() if isinstance(reader.future, Shared) else 1


def value_of(reading: Future[R]) -> R:
    """What a read in another thread gave."""
    return reading.result(PATIENCE_S)
