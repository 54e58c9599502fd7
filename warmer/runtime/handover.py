"""What one who waits is told, once, by another thread.

As much of a `concurrent.futures.Future` as is needed here, on bare locks: where a thousand readers are told
at once, that one's conditions are most of the work.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any, Generic, TypeVar

T = TypeVar("T")

# Who was interrupted just as it woke may not have woken the next: the others look by themselves, so often.
LOOK_EVERY_S = 1.0


class Handover(Generic[T]):
    """One value for one who waits; whichever comes first, `tell` or `cancel`, is its end. From any thread."""

    __slots__ = ("_callbacks", "_cancelled", "_ended", "_ending", "_open", "_value")

    def __init__(self) -> None:
        self._ending = threading.Lock()  # taken by who ends it
        self._open = threading.Lock()  # held until it has ended
        self._open.acquire()
        self._ended = self._cancelled = False
        self._value: Any = None
        self._callbacks: list[Callable[[Handover[T]], None]] = []

    def tell(self, value: T) -> bool:
        """Whether it is this that is told: not if it had ended before."""
        if not self._ending.acquire(blocking=False):
            return False
        self._value = value
        self._end()
        return True

    def cancel(self) -> bool:
        """Nobody waits any more; False: it was told before."""
        if not self._ending.acquire(blocking=False):
            return self._cancelled
        self._cancelled = True
        self._end()
        return True

    def result(self, timeout: float | None = None) -> T:
        """What was told, waiting for it at most so many seconds. Raises TimeoutError, CancelledError."""
        if not self._open.acquire(timeout=-1 if timeout is None else max(0.0, timeout)):
            raise TimeoutError
        self._open.release()
        if self._cancelled:
            raise CancelledError
        value: T = self._value
        return value

    def done(self) -> bool:
        """Whether it has ended."""
        return self._ended

    def cancelled(self) -> bool:
        """Whether it has ended without a value."""
        return self._cancelled

    def add_done_callback(self, callback: Callable[[Handover[T]], None]) -> None:
        """Have it called once it has ended, in the thread that ends it; at once if it has."""
        self._callbacks.append(callback)
        if self._ended:
            self._call_back()

    def _end(self) -> None:
        self._ended = True
        self._open.release()
        if self._callbacks:
            self._call_back()

    def _call_back(self) -> None:
        # Whoever adds one looks afterwards whether it has ended: it is called by one of the two, and once.
        while True:
            try:
                callback = self._callbacks.pop()
            except IndexError:
                return
            callback(self)


class Shared(Handover[T]):
    """One value for many threads. None of them ends it by going away, and each that wakes wakes the next.

    Woken all at once they would compete for the interpreter, with one another and with who has work to do.
    """

    __slots__ = ("_came",)

    def __init__(self) -> None:
        super().__init__()
        self._came: deque[None] = deque()

    def came(self) -> int:
        """How many have begun to wait."""
        return len(self._came)

    def cancel(self) -> bool:
        """One of them waits no more; the others do."""
        return False

    def result(self, timeout: float | None = None) -> T:
        """What was told. Raises TimeoutError."""
        self._came.append(None)
        until = None if timeout is None else time.monotonic() + timeout
        while not self._ended:
            left = LOOK_EVERY_S if until is None else min(LOOK_EVERY_S, until - time.monotonic())
            if left <= 0:
                raise TimeoutError
            if self._open.acquire(timeout=left):
                self._open.release()
        value: T = self._value
        return value
