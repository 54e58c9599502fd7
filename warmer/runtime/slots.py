"""A process's places for loads: taken from any thread, waited for and given back on the runtime's loop."""

from __future__ import annotations

import asyncio
import threading
from collections import deque


class Slots:
    """So many places; who waits for one gets it in turn.

    Unlike an `asyncio.Semaphore`, a free one can be taken from any thread, by a reader that goes ahead.
    """

    def __init__(self, places: int) -> None:
        self._free = places
        self._lock = threading.Lock()
        self._turns: deque[asyncio.Future[None]] = deque()

    def take(self) -> bool:
        """Take a place if one is free. From any thread."""
        with self._lock:
            if self._free == 0:
                return False
            self._free -= 1
            return True

    async def acquire(self) -> None:
        """Take a place, waiting for it; a wait that is cancelled takes none. On the loop."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with self._lock:
            if self._free:
                self._free -= 1
                return
            self._turns.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release()  # it had just been given to us
            raise

    def release(self) -> None:
        """Give a place back, to whoever waits longest. On the loop."""
        with self._lock:
            while self._turns:
                turn = self._turns.popleft()
                if not turn.done():
                    turn.set_result(None)
                    return
            self._free += 1

    async def __aenter__(self) -> None:
        """`acquire`."""
        await self.acquire()

    async def __aexit__(self, *raised: object) -> None:
        """`release`."""
        self.release()
