"""A scheduler and workers inside the test's process: the very steps of both, without processes or a broker.

For tests of what is decided; what must survive processes is tested with processes.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from warmer import Warmer
from warmer.core.members import split_member
from warmer.errors import WarmerError
from warmer.runs.records import Records
from warmer.runs.task import run_plan
from warmer.scheduler.conditions import Condition
from warmer.scheduler.sweep import Sweeper
from warmer.store.operations import Claim
from warmer.worker.message import Message
from warmer.worker.tasks import refresh


def sweeper(flights: Warmer, send: Callable[[Warmer, Sequence[Claim]], object], name: str = "s1") -> Sweeper:
    """A scheduler's sweep whose claims go to `send`."""
    return Sweeper(flights, name, Condition("the broker takes messages"), send)


def work(flights: Warmer, claims: Sequence[Claim]) -> list[str]:
    """What a worker does with the messages of these claims, one after the other."""
    done = []
    for claim in claims:
        said = Message.of(claim, flights.runtime().store.now_us()).plain()
        with contextlib.suppress(WarmerError):  # a failed load is told to whoever watches the worker
            done.append(refresh(flights, split_member(claim.member)[0], said))
    return done


class Fleet:
    """One scheduler and so many workers of a namespace, until the block ends."""

    def __init__(self, flights: Warmer, workers: int) -> None:
        self.flights, self.messages = flights, 0
        self._pool = ThreadPoolExecutor(workers)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fleet")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()
        self._pool.shutdown()

    def _send(self, flights: Warmer, claims: Sequence[Claim]) -> None:
        for claim in claims:
            self.messages += 1
            self._pool.submit(work, flights, [claim])

    def _run(self) -> None:
        sweep = sweeper(self.flights, self._send)
        records = Records(self.flights.runtime().store)
        while not self._stopping.wait(0.01):
            sweep.sweep()
            for run in records.claim(10):
                run_plan(self.flights, run)


@contextlib.contextmanager
def fleet(flights: Warmer, workers: int = 4) -> Iterator[Fleet]:
    """A scheduler and workers that are at work."""
    made = Fleet(flights, workers)
    made.start()
    try:
        yield made
    finally:
        made.stop()
