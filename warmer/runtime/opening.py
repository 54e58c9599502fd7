"""The first question of a flight, asked on the thread that loads at once if the lease is granted.

Between a crowd's first reader and the load stand then a new thread and one round trip, and nothing that would
have to pass from thread to thread, each time behind all who compete for the interpreter.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING

from warmer.runtime.contract import Reader
from warmer.runtime.loading import Load
from warmer.runtime.loads import LoadThread
from warmer.store.operations import Acquired, Lease

if TYPE_CHECKING:
    from warmer.runtime.flights import Flight


class Opening:
    """What a thread of its own has asked for a flight, under a place for loads that was taken for it.

    answer: what the server said, or why it said nothing; None: no thread could be started, nothing was asked.
    batch: those the question was asked for. load: what was granted, and runs already. Both once there is an
    answer.
    """

    def __init__(self, flight: Flight) -> None:
        self._flight = flight
        self.batch: list[Reader] = []
        self.load: Load | None = None
        self._turn = threading.Lock()  # taken by who asks, or by who has it not be asked any more
        self.answer: asyncio.Future[Acquired | BaseException | None]
        self.answer = flight.runtime.loop.create_future()

    def start(self) -> None:
        """Begin. From any thread."""
        try:
            LoadThread(self._flight.query.name, self._run).start()
        except RuntimeError:  # the process may have no more threads
            self._tell(None)

    def take_back(self) -> bool:
        """Have nothing asked here any more; False: it is being asked."""
        return self._turn.acquire(blocking=False)

    def _run(self) -> None:
        flight = self._flight
        if not self._turn.acquire(blocking=False):
            return
        # Rule 1: these have joined before the lease is asked for.
        self.batch = [reader for reader in list(flight.readers) if opens(reader)]
        try:
            answer = flight.acquire(self.batch, flight.token, False)
            if answer.kind == "granted":
                lease = Lease(flight.entry, flight.token, answer.stamp)
                self.load = Load(flight, self.batch, lease, slot=True, led=True)
        except BaseException as exc:  # noqa: BLE001 - whatever it is, the flight has to tell its readers
            self._tell(exc)
            return
        self._tell(answer)
        if self.load is not None:
            self.load.lead()

    def _tell(self, answer: Acquired | BaseException | None) -> None:
        with contextlib.suppress(RuntimeError):  # the runtime was closed: its readers have been told
            self._flight.runtime.loop.call_soon_threadsafe(self.answer.set_result, answer)


def opens(reader: Reader) -> bool:
    """Whether this reader's entry may be asked for ahead: it loads, and not together with others."""
    return reader.waits and reader.loads and reader.batch is None
