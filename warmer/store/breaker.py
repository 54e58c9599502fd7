"""A circuit breaker: while the server does not answer, one probe asks, and the rest go around it at once.

It opens with the first connection or command that fails, for all of this process, and closes when a probe was
answered. The probe is a thread that lives as long as the breaker is open, so recovery needs no reader and
costs none a timeout.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

from warmer.errors import RedisUnreachable, ServerError

# The first probe follows at once: most failures are one slow command of a server that is well.
FIRST_PROBE_S = 0.05
# A server that answers the probe and fails its readers again within so long is asked at longer and longer
# intervals, up to the longest: with that, readers are back well within 2 s of the server.
RELAPSE_S = 10.0
LONGEST_S = 1.0


class Breaker:
    """Whether the server is given up for now.

    probe: asks the server, on a connection of its own; raises ServerError while it is away.
    on_open(cause), on_close(seconds that it was open): told in the thread that found out.
    """

    def __init__(self, probe: Callable[[], None]) -> None:
        #: Read without a lock by every read.
        self.open = False
        self.on_open: Callable[[RedisUnreachable], None] = lambda cause: None
        self.on_close: Callable[[float], None] = lambda away_s: None
        self._probe = probe
        self._cause: RedisUnreachable | None = None
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._closed_at = -RELAPSE_S
        self._pause_s = FIRST_PROBE_S

    def trip(self, cause: RedisUnreachable) -> None:
        """A connection or a command has failed: open, unless it is open already, and begin to probe."""
        with self._lock:
            if self.open or self._stopping.is_set():
                return
            opened = time.monotonic()
            relapsed = opened < self._closed_at + RELAPSE_S
            self._pause_s = min(LONGEST_S, 2 * self._pause_s) if relapsed else FIRST_PROBE_S
            asking = threading.Thread(
                target=self._ask_until_back, args=(opened,), name="warmer-probe", daemon=True
            )
            try:
                asking.start()
            except RuntimeError:  # no more threads: every reader asks for itself, as without a breaker
                return
            self._cause, self.open = cause, True
        self.on_open(cause)

    def refusal(self) -> RedisUnreachable:
        """What who comes while it is open is told, each by an error of its own."""
        if self._cause is None:
            return RedisUnreachable("the server", "it did not answer a moment ago")
        cause = self._cause.cause.rstrip(".")
        return RedisUnreachable(self._cause.url, f"a moment ago, {cause}; it is being probed")

    def stop(self) -> None:
        """End the probe, for the end of the process."""
        self._stopping.set()

    def _ask_until_back(self, opened: float) -> None:
        # Processes that lost one server must not come back to it in step.
        while not self._stopping.wait(self._pause_s * random.uniform(0.8, 1.2)):
            try:
                self._probe()
            except ServerError:
                self._pause_s = min(LONGEST_S, max(4 * FIRST_PROBE_S, self._pause_s))
                continue
            with self._lock:
                self.open, self._closed_at = False, time.monotonic()
            self.on_close(self._closed_at - opened)
            return
